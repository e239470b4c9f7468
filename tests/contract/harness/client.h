// A client of the server under test, one connection, whose every wait has a deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/net/unique_fd.h"
#include "server_process.h"

namespace contract {

// The thing waited for did not happen in time. what() says which, and what had arrived instead.
struct deadline_passed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct client_options {
  int receive_buffer = 0;  // SO_RCVBUF, bytes; 0: the kernel's choice
  int send_buffer = 0;     // SO_SNDBUF, likewise
};

// Errors: connecting throws std::system_error; waits throw deadline_passed. A peer that closes or resets is no error
// but an end of the stream: sending to it does nothing, and what it sent before can still be received. Thread: the
// test's. Owns: the socket.
class client {
 public:
  explicit client(const server_process& server, const client_options& options = {});
  explicit client(int port, const client_options& options = {});  // of a server that listens on several
  explicit client(const std::filesystem::path& unix_socket);

  // Nagle's algorithm is off: each call leaves as a segment of its own.
  void send(std::string_view bytes);
  // As much as goes into the buffers, waiting up to `patience` for room. 0: there is none.
  [[nodiscard]] std::size_t send_some(std::string_view bytes, std::chrono::milliseconds patience);

  // Whatever comes next, at least one byte; empty at the end of the stream.
  [[nodiscard]] std::string receive_some();
  // Exactly n bytes; fewer only at the end of the stream.
  [[nodiscard]] std::string receive(std::size_t n);
  // Up to and including the first `end`.
  [[nodiscard]] std::string receive_until(std::string_view end);
  [[nodiscard]] std::string receive_line() { return receive_until("\r\n"); }
  // All until the server closes.
  [[nodiscard]] std::string receive_rest();
  // Sends one command and receives its answer of one line.
  [[nodiscard]] std::string ask(std::string_view line);

  // Returns when the server has read from its socket all that was sent. So what is sent next arrives in a read of its
  // own: the cut between two pieces is where the test has put it, not where luck has. What was read need not have been
  // run yet: another thread of the server may run another client's command before it.
  void wait_until_consumed();

  // No more will be sent; answers can still be received.
  void half_close();
  // Closes in the rudest way: the server's socket reports ECONNRESET. Leaves no TIME_WAIT behind.
  void reset();

 private:
  [[nodiscard]] bool wait_for(short events, std::chrono::steady_clock::time_point end) const;
  [[nodiscard]] bool receive_into_buffer();

  net::unique_fd socket_;
  net::unique_fd diagnosis_;  // sock_diag(7); empty where the kernel lacks it
  std::size_t sent_ = 0;
  std::string received_;  // not yet handed out
};

}  // namespace contract
