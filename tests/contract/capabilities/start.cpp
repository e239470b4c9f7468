// start: what happens before the server serves, and what is left when it has ended. Streams that were closed, a daemon
// and whoever waits for it, signals that come early, the pid file.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/net/unique_fd.h"
#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

using words = std::vector<std::string>;

const std::string in_order = ending{true, 0}.text();

void wait_until(std::string_view what, const std::function<bool()>& happened) {
  const auto end = std::chrono::steady_clock::now() + under_test().deadline;
  while (!happened()) {
    if (std::chrono::steady_clock::now() > end) throw deadline_passed("not within the deadline: " + std::string(what));
    ::sched_yield();
  }
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

// A child of ours: begun by us, or a daemon whose parent has ended. If it is still there at the end of a test, it is
// killed. Owns: the process.
class process {
 public:
  explicit process(pid_t pid) noexcept : pid_(pid) {}
  process(process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ~process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }

  // Of itself, or by the signal `number` that was sent before.
  [[nodiscard]] std::string wait_for_end(int number = 0) {
    siginfo_t info{};
    auto again = std::chrono::steady_clock::now() + std::chrono::seconds{3};
    wait_until("the process ends", [&] {
      // ThreadSanitizer's runtime now and then swallows a signal.
      if (number != 0 && under_test().sanitized && std::chrono::steady_clock::now() > again) {
        signal(number);
        again += std::chrono::seconds{3};
      }
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0) {
        throw std::system_error(errno, std::generic_category(), "waitid");
      }
      return info.si_pid != 0;
    });
    pid_ = -1;
    return ending{info.si_code == CLD_EXITED, info.si_status}.text();
  }

 private:
  pid_t pid_;
};

// A place to start the program in. A daemon becomes our child when its parent ends, so that it cannot outlive its test
// and we hear how it ends.
class starter {
 public:
  starter() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

  // By way of a shell, which runs `first` and starts the program with these redirections.
  [[nodiscard]] process start(const words& flags, const std::string& redirections = "",
                              const std::string& first = ":") {
    const target& t = under_test();
    words arguments{"/bin/sh", "-c", first + "; exec \"$@\" " + redirections, "sh", t.program};
    arguments.insert(arguments.end(), t.args.begin(), t.args.end());
    const words where{"-p", "-1", "-l", "127.0.0.1"};
    arguments.insert(arguments.end(), where.begin(), where.end());
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const net::unique_fd output{::open(said_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};

    const pid_t pid = ::fork();
    if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid == 0) {
      ::setenv("MEMCACHED_PORT_FILENAME", ports_.c_str(), 1);
      ::dup2(output.get(), STDOUT_FILENO);
      ::dup2(output.get(), STDERR_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    return process{pid};
  }

  // Where it listens; -1: not yet.
  [[nodiscard]] int port() const {
    const std::string text = contents(ports_);
    const auto at = text.find("TCP INET: ");
    return at == std::string::npos ? -1 : std::stoi(text.substr(at + 10));
  }
  [[nodiscard]] int wait_for_port() const {
    wait_until("the server listens", [this] { return port() != -1; });
    return port();
  }
  [[nodiscard]] std::filesystem::path pid_file() const { return directory_.path() / "pid"; }

  // With -d. Returns when the one that we have started has ended; what it has left behind is the daemon.
  [[nodiscard]] process start_daemon(const std::string& redirections = "") {
    CHECK(start({"-d", "-P", pid_file().string()}, redirections).wait_for_end() == in_order);
    return process{static_cast<pid_t>(std::stol(contents(pid_file())))};
  }

  // On stdout and stderr, but for the warning that root gets.
  [[nodiscard]] std::string said() const {
    std::istringstream text{contents(said_)};
    std::string rest;
    for (std::string line; std::getline(text, line);) {
      if (!line.starts_with("running as root")) rest += line + "\n";
    }
    return rest;
  }

 private:
  temporary_directory directory_;
  std::filesystem::path said_ = directory_.path() / "said";
  std::filesystem::path ports_ = directory_.path() / "ports";
};

// What descriptor `fd` of a process is: a path, "socket:[…]", or "" if there is none.
std::string descriptor(pid_t pid, int fd) {
  std::error_code none;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd), none);
}

void check_that_it_answers(int port) {
  client c{port};
  CHECK(c.ask("version").starts_with("VERSION "));
}

// A port of 127.0.0.1 that is ours, and yet a server's to listen on: with SO_REUSEADDR two sockets may be bound to it
// as long as one of them listens.
class reserved_port {
 public:
  reserved_port() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address_;
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address_), length) != 0 ||
        ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_), &length) != 0) {
      throw std::system_error(errno, std::generic_category(), "bind");
    }
  }

  [[nodiscard]] int number() const noexcept { return ntohs(address_.sin_port); }
  // From now on it is taken.
  void listen() const { ::listen(socket_.get(), 1); }
  // Returns as soon as somebody listens.
  void wait_until_it_answers() const {
    wait_until("the port answers", [this] {
      const net::unique_fd knock{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
      return ::connect(knock.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0;
    });
  }

 private:
  net::unique_fd socket_;
  sockaddr_in address_{};
};

// From chapter 05 on; those before have no handler.
[[nodiscard]] bool hears_signals() { return under_test().can("stop") || under_test().can("edges"); }

}  // namespace

TEST_SUITE("start") {
  TEST_CASE("with any of the standard streams closed it serves, and none of them becomes a socket") {
    for (int closed = 1; closed < 8; ++closed) {
      std::string redirections;
      for (const int stream : {0, 1, 2}) {
        if ((closed & 1 << stream) != 0) redirections += std::to_string(stream) + (stream == 0 ? "<&- " : ">&- ");
      }
      for (const bool daemonize : {false, true}) {
        CAPTURE(redirections);
        CAPTURE(daemonize);
        starter s;
        const process server = daemonize ? s.start_daemon(redirections) : s.start({}, redirections);
        const int port = s.wait_for_port();
        for (const int stream : {0, 1, 2}) CHECK(!descriptor(server.pid(), stream).starts_with("socket:"));
        check_that_it_answers(port);
      }
    }
  }

  TEST_CASE("-d returns when the server answers, and the terminal is free again") {
    starter s;
    const process server = s.start_daemon();
    check_that_it_answers(s.port());
    CHECK(s.said() == "");
    for (const int stream : {0, 1, 2}) CHECK(descriptor(server.pid(), stream) == "/dev/null");
  }

  TEST_CASE("with -d, what is wrong is said as it is without, has its status, and leaves no pid file") {
    std::vector<words> wrong{{"-P", "/nonexistent/pid"}, {"-c", "3"}};
    if (::geteuid() == 0) wrong.push_back({"-u", "no such user"});
    if (under_test().can("store")) wrong.push_back({"-I", "1k", "-n", "4096"});
    if (under_test().can("threads")) wrong.push_back({"-c", "8"});
    const bool has_item_locks = under_test().can("udp");  // chapter 09, too
    if (has_item_locks) wrong.push_back({"-t", "5", "-o", "hashpower=13"});
    for (const words& flags : wrong) {
      CAPTURE(flags.back());
      std::vector<std::string> ends;
      for (const bool daemonize : {false, true}) {
        starter s;
        words all{"-P", s.pid_file().string()};
        all.insert(all.end(), flags.begin(), flags.end());
        if (daemonize) all.push_back("-d");
        ends.push_back(s.start(all).wait_for_end());
        CHECK(s.said() != "");
        CHECK(!std::filesystem::exists(s.pid_file()));
      }
      CHECK(ends[0] != in_order);
      CHECK(ends[1] == ends[0]);
    }
  }

  TEST_CASE("a signal that comes as soon as the port answers ends the server in order") {
    if (!hears_signals()) return;
    for (int round = 0; round < 40; ++round) {
      const int number = std::array{SIGTERM, SIGINT, SIGQUIT, SIGHUP}[static_cast<std::size_t>(round % 4)];
      CAPTURE(number);
      const reserved_port port;
      starter s;
      process server = s.start({"-p", std::to_string(port.number()), "-P", s.pid_file().string()});
      port.wait_until_it_answers();
      server.signal(number);
      REQUIRE(server.wait_for_end(number) == in_order);
      CHECK(!std::filesystem::exists(s.pid_file()));
    }
  }

  TEST_CASE("SIGHUP is ignored under -d and under nohup, and a signal without a meaning always") {
    for (const bool daemonize : {true, false}) {
      CAPTURE(daemonize);
      starter s;
      process server = daemonize ? s.start_daemon() : s.start({"-P", s.pid_file().string()}, "", "trap '' HUP");
      const int port = s.wait_for_port();
      for (const int number : {SIGHUP, SIGUSR1, SIGUSR2}) server.signal(number);
      check_that_it_answers(port);
      server.signal(SIGTERM);
      CHECK(server.wait_for_end(SIGTERM) == (hears_signals() ? in_order : ending{false, SIGTERM}.text()));
      CHECK(std::filesystem::exists(s.pid_file()) == !hears_signals());
    }
  }

  TEST_CASE("an address that is taken is said, and the others are served") {
    const reserved_port taken;
    taken.listen();
    starter s;
    const std::string address = "127.0.0.1:" + std::to_string(taken.number());
    const process server = s.start({"-l", address});
    check_that_it_answers(s.wait_for_port());
    CHECK(s.said() == "bind " + address + ": Address already in use; the other addresses are served\n");

    starter none;
    CHECK(none.start({"-p", std::to_string(taken.number()), "-l", address}).wait_for_end() == ending{true, 1}.text());
    CHECK(none.said() == std::string(under_test().name()) + ": bind " + address + ": Address already in use\n");
  }
}

}  // namespace contract
