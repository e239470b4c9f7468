// The server under test as a child process that cannot outlive its test.
#include "server_process.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "client.h"
#include "target.h"

namespace contract {

namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

constexpr std::string_view port_file = "port";
constexpr std::string_view output_file = "output";

std::string read_whole(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

int milliseconds_until(clock::time_point end) {
  const auto left = std::chrono::ceil<milliseconds>(end - clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& s : strings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment_with(const std::vector<std::string>& assignments) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  environment.insert(environment.end(), assignments.begin(), assignments.end());
  return environment;
}

bool tells_of_a_sanitizer(std::string_view output) {
  return output.find("Sanitizer") != std::string_view::npos || output.find("runtime error:") != std::string_view::npos;
}

}  // namespace

temporary_directory::temporary_directory() {
  std::string name = std::filesystem::temp_directory_path() / "contract-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  path_ = name;
}

temporary_directory::~temporary_directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ending::text() const {
  if (exited) return "exited with status " + std::to_string(number);
  return "killed by signal " + std::to_string(number) + " (" + ::strsignal(number) + ")";
}

server_process::server_process(const std::vector<std::string>& flags, listening where,
                               const std::vector<std::string>& assignments) {
  start({}, flags, where, assignments);
  wait_until(where == listening::on_tcp ? &server_process::read_port_file : &server_process::connect_to_unix_socket);
}

server_process::server_process(const failing& calls, const std::vector<std::string>& flags) {
  // -D: the server is our child, and strace its own. Root's warning would be one more write() to count.
  std::vector<std::string> more = flags;
  if (::geteuid() == 0) more.insert(more.end(), {"-u", "root"});
  start({"strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + calls.call, "-e",
         "inject=" + calls.call + ":" + calls.how},
        more, listening::on_tcp, {});
  wait_until(&server_process::read_port_file);
}

bool calls_can_fail() {
  static const bool can = !under_test().sanitized && !under_test().can("proxy") &&
                          std::system("strace -D -f -qqq -o /dev/null -e trace=none true 2>/dev/null") == 0;
  if (!can) MESSAGE("not run: no strace, or it may not trace, or the server cannot be traced");
  return can;
}

server_process::~server_process() {
  if (!ending_) {
    // A zero deadline: has it died under the test?
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG | WNOWAIT);
    if (info.si_pid != 0) {
      static_cast<void>(wait_for_end());
      fail("the server died during the test: " + ending_->text());
      return;
    }
    if (!stop()) {
      fail("the server did not stop on SIGTERM within the deadline");
      signal(SIGKILL);
      ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
      return;
    }
    // A chapter without a handler for SIGTERM dies of it, and that is no fault.
    if (*ending_ != ending{true, 0} && *ending_ != ending{false, SIGTERM}) {
      fail("the server did not stop cleanly: " + ending_->text());
      return;
    }
  }
  if (tells_of_a_sanitizer(output())) fail("a sanitizer has something to say");
}

void server_process::start(std::vector<std::string> arguments, const std::vector<std::string>& flags, listening where,
                           std::vector<std::string> assignments) {
  const target& t = under_test();
  arguments.push_back(t.program);
  arguments.insert(arguments.end(), t.args.begin(), t.args.end());
  switch (where) {
    case listening::on_tcp: arguments.insert(arguments.end(), {"-p", "-1", "-l", "127.0.0.1"}); break;
    case listening::on_unix_socket: arguments.insert(arguments.end(), {"-s", unix_socket().string()}); break;
  }
  if (t.udp) arguments.insert(arguments.end(), {"-U", "0"});
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  for (const std::string& argument : arguments) command_line_ += argument + " ";

  assignments.push_back("MEMCACHED_PORT_FILENAME=" + (directory() / port_file).string());
  std::vector<std::string> environment = environment_with(assignments);
  const std::vector<char*> argv = pointers_to(arguments);
  const std::vector<char*> envp = pointers_to(environment);
  const net::unique_fd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const net::unique_fd out{
      ::open((directory() / output_file).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};

  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(out.get(), STDOUT_FILENO);
    ::dup2(out.get(), STDERR_FILENO);
    ::execvpe(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  // Safe from reuse of the number: nobody but us reaps this child.
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) throw std::system_error(errno, std::generic_category(), "pidfd_open");
}

// Looks again at every file that comes into the server's directory, and every few milliseconds: between the bind() that
// makes a unix socket's file and the listen() that follows, nothing in the file system tells.
void server_process::wait_until(bool (server_process::*ready)()) {
  constexpr int look_again = 5;
  const net::unique_fd watch{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
  ::inotify_add_watch(watch.get(), directory().c_str(), IN_MOVED_TO | IN_CREATE);
  const clock::time_point end = clock::now() + under_test().deadline;
  while (!(this->*ready)()) {
    std::array<pollfd, 2> awaited{{{watch.get(), POLLIN, 0}, {pidfd_.get(), POLLIN, 0}}};
    ::poll(awaited.data(), awaited.size(), look_again);
    if ((awaited[1].revents & POLLIN) != 0) give_up("the server ended before it listened");
    if (clock::now() > end) give_up("the server did not listen within the deadline");
    std::array<char, 4096> events;
    while (::read(watch.get(), events.data(), events.size()) > 0) continue;
  }
}

// The server renames the file into place, so it is whole when it appears.
bool server_process::read_port_file() {
  std::istringstream text{read_whole(directory() / port_file)};
  const std::string label = "TCP INET: ";
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with(label)) port_ = std::stoi(line.substr(label.size()));
  }
  return port_ != 0;
}

bool server_process::connect_to_unix_socket() {
  try {
    const client first{unix_socket()};
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

std::size_t server_process::rss_bytes() const {
  std::istringstream statm{read_whole("/proc/" + std::to_string(pid_) + "/statm")};
  std::size_t size = 0;
  std::size_t resident = 0;
  if (!(statm >> size >> resident)) throw std::runtime_error("the server is gone: no memory to measure");
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t server_process::open_fds() const {
  const std::filesystem::directory_iterator fds{"/proc/" + std::to_string(pid_) + "/fd"};
  return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

std::chrono::nanoseconds server_process::cpu_time() const {
  long long total = 0;
  for (const auto& task : std::filesystem::directory_iterator{"/proc/" + std::to_string(pid_) + "/task"}) {
    std::istringstream schedstat{read_whole(task.path() / "schedstat")};
    long long running = 0;
    schedstat >> running;
    total += running;
  }
  return std::chrono::nanoseconds{total};
}

std::string server_process::output() const { return read_whole(directory() / output_file); }

void server_process::signal(int number) const { ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0); }

std::optional<ending> server_process::wait_for_end(int number) {
  if (ending_) return ending_;
  const auto end = clock::now() + under_test().deadline;
  // ThreadSanitizer's runtime now and then swallows a signal.
  const bool repeat = number != 0 && under_test().sanitized;
  pollfd awaited{pidfd_.get(), POLLIN, 0};
  for (;;) {
    const auto until = repeat ? std::min(end, clock::now() + std::chrono::seconds{3}) : end;
    if (::poll(&awaited, 1, milliseconds_until(until)) == 1) break;
    if (clock::now() >= end) return std::nullopt;
    signal(number);
  }
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
  ending_ = ending{info.si_code == CLD_EXITED, info.si_status};
  return ending_;
}

std::optional<ending> server_process::stop() {
  signal(SIGTERM);
  return wait_for_end(SIGTERM);
}

void server_process::fail(std::string_view problem) const {
  const std::string message = std::string{problem} + "\n  command: " + command_line_ + "\n  its output:\n" + output();
  FAIL_CHECK(message);
}

// The destructor does not run for an object that was never made whole.
void server_process::give_up(std::string_view problem) {
  signal(SIGKILL);
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
  const std::string message = std::string{problem} + "\n  command: " + command_line_ + "\n  its output:\n" + output();
  FAIL(message);
}

}  // namespace contract
