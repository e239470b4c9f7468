// The server under test as a child process that cannot outlive its test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/unique_fd.h"

namespace contract {

// A directory under the system's own for temporary files, removed with all that is in it.
// Owns: the directory.
class temporary_directory {
 public:
  temporary_directory();
  ~temporary_directory();
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

// How a process came to its end.
struct ending {
  bool exited;  // by itself; false: killed by a signal
  int number;   // its status, or the signal

  bool operator==(const ending&) const = default;
  [[nodiscard]] std::string text() const;
};

enum class listening { on_tcp, on_unix_socket };

// A call to the kernel that fails, and when, in strace's words: {"accept4", "error=ENFILE:when=1..5"}. Calls are
// counted for each thread by itself.
struct failing {
  std::string call;
  std::string how;
};

// Whether strace is here and may trace, and the server bears it (one with a sanitizer does not). False: a message says
// that the test is not run.
[[nodiscard]] bool calls_can_fail();

// A running server, ready for connections once constructed. When a test is done with it, it must still be alive, must
// stop within the deadline on SIGTERM, and must have written no sanitizer's report: anything else fails the test, with
// what the server wrote on stderr. Thread: the test's. Owns: the process and its directory.
class server_process {
 public:
  // `flags` follow those of the target, `assignments` ("NAME=value") the environment's. The test fails and ends when
  // the server does not come up within the deadline.
  explicit server_process(const std::vector<std::string>& flags = {}, listening where = listening::on_tcp,
                          const std::vector<std::string>& assignments = {});
  // A server on TCP, some of whose calls fail: see calls_can_fail().
  server_process(const failing& calls, const std::vector<std::string>& flags);
  ~server_process();
  server_process(const server_process&) = delete;
  server_process& operator=(const server_process&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  // Where it listens on 127.0.0.1; 0 if on a unix socket.
  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] std::filesystem::path unix_socket() const { return directory() / "socket"; }
  [[nodiscard]] const std::filesystem::path& directory() const noexcept { return directory_.path(); }

  // What the kernel says of it. Throws std::runtime_error if the process is gone.
  [[nodiscard]] std::size_t rss_bytes() const;
  [[nodiscard]] std::size_t open_fds() const;
  [[nodiscard]] std::chrono::nanoseconds cpu_time() const;  // all threads, since the start

  // All that it has written on stdout and stderr so far.
  [[nodiscard]] std::string output() const;

  void signal(int number) const;
  // Waits for the process to end, of itself or by the signal `number` that was sent before; from then on that end
  // counts as the one wanted. nullopt: it still runs after the deadline.
  [[nodiscard]] std::optional<ending> wait_for_end(int number = 0);
  // Asks for the end by SIGTERM, and waits for it.
  std::optional<ending> stop();

 private:
  void start(std::vector<std::string> arguments, const std::vector<std::string>& flags, listening where,
             std::vector<std::string> assignments);
  void wait_until(bool (server_process::*ready)());
  [[nodiscard]] bool read_port_file();
  [[nodiscard]] bool connect_to_unix_socket();
  void fail(std::string_view problem) const;
  void give_up(std::string_view problem);

  temporary_directory directory_;
  std::string command_line_;
  pid_t pid_ = -1;
  net::unique_fd pidfd_;
  int port_ = 0;
  std::optional<ending> ending_;
};

}  // namespace contract
