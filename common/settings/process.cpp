// What the process does once, before it serves.
#include "common/settings/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace {

[[noreturn]] void fail(const std::string& doing) { throw std::system_error(errno, std::generic_category(), doing); }

[[nodiscard]] bool is_root() noexcept { return geteuid() == 0; }

// -r: as large as the hard limit allows, and without one if we may lift it.
void allow_core_files() {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_CORE, &unlimited) == 0) return;
  rlimit limit{};
  if (getrlimit(RLIMIT_CORE, &limit) != 0) fail("read the limit of core files");
  limit.rlim_cur = limit.rlim_max;
  if (limit.rlim_max == 0 || setrlimit(RLIMIT_CORE, &limit) != 0) fail("raise the limit of core files");
}

// -c: exactly as many, even where that is fewer. It is this limit that accept() meets when the server is full (EMFILE).
void limit_open_files(int maxconns) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("read the limit of open files");
  const rlim_t allowed = limit.rlim_max;
  limit.rlim_cur = static_cast<rlim_t>(maxconns);
  if (limit.rlim_cur > allowed) limit.rlim_max = limit.rlim_cur;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    fail("cannot raise the limit of open files to " + std::to_string(maxconns) + " (try -c " + std::to_string(allowed) +
         ")");
  }
}

struct user {
  uid_t uid;
  gid_t gid;
};

// nullopt: stay who we are.
[[nodiscard]] std::optional<user> user_to_become(const settings& s) {
  if (!is_root()) return std::nullopt;
  if (s.username.empty()) {
    std::fputs("running as root; -u USER gives up its rights\n", stderr);
    return std::nullopt;
  }
  const passwd* found = getpwnam(s.username.c_str());
  if (found == nullptr) throw usage_error("-u: can't find the user " + s.username);
  return user{found->pw_uid, found->pw_gid};
}

// The groups first: once the user is given up, there is no right left to give up the groups.
void become(const user& who) {
  if (setgroups(1, &who.gid) != 0) fail("give up root's groups");
  if (setgid(who.gid) != 0) fail("give up root's group");
  if (setuid(who.uid) != 0) fail("give up root's rights");
}

[[nodiscard]] net::unique_fd open_null() {
  net::unique_fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) fail("open /dev/null");
  return null;
}

[[nodiscard]] sigset_t signals_to_hold() noexcept {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU}) {
    sigaddset(&set, number);
  }
  return set;
}

// The parent, until the daemon serves (a byte) or has ended (the pipe closes without one).
void wait_at_the_terminal(pid_t daemon, const net::unique_fd& pipe) {
  release_signals();  // Ctrl-C ends the waiting, and with it the daemon: see announce()
  char byte;
  if (read(pipe.get(), &byte, 1) == 1) _exit(EXIT_SUCCESS);
  int status = 0;
  if (waitpid(daemon, &status, 0) != daemon) fail("wait for the daemon");
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));  // it has said why
  const int number = WTERMSIG(status);
  throw std::runtime_error("the daemon was killed by signal " + std::to_string(number) + " (" + strsignal(number) +
                           ") before it served");
}

// Also what is allocated later: under an ordinary user's limit that would fail, so a user to come needs the limit
// lifted.
void lock_memory(bool user_to_come) {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &unlimited) != 0 && user_to_come) fail("lift the limit of locked memory");
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) fail("lock the memory");
}

}  // namespace

// What one must not do with these streams fails, as it does where there are none: "--help >&-" is an error.
void occupy_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) != -1) continue;
    // Those below are taken, so this is the number that we get.
    if (open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream) fail("open /dev/null");
  }
}

void hold_signals() noexcept {
  const sigset_t held = signals_to_hold();
  pthread_sigmask(SIG_BLOCK, &held, nullptr);
}

void release_signals() noexcept {
  const sigset_t held = signals_to_hold();
  pthread_sigmask(SIG_UNBLOCK, &held, nullptr);
}

bool is_ignored(int signal) noexcept {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

// The working directory stays, as paths may be relative to it.
readiness::readiness(bool daemonize, bool keep_streams) {
  if (!daemonize) return;
  if (!keep_streams) null_ = open_null();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  const net::unique_fd from_daemon(ends[0]);
  parent_.reset(ends[1]);
  std::signal(SIGCHLD, SIG_DFL);  // inherited, SIG_IGN would take the daemon's status from us
  const pid_t daemon = fork();
  if (daemon < 0) fail("fork");
  if (daemon > 0) {
    parent_.reset();
    wait_at_the_terminal(daemon, from_daemon);
  }
  std::signal(SIGHUP, SIG_IGN);  // as 1.4.25: a terminal that goes is none of a daemon's business
  if (setsid() < 0) fail("setsid");
}

void readiness::announce() {
  if (null_) {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null_.get(), stream);
    null_.reset();
  }
  if (parent_ && write(parent_.get(), "r", 1) != 1) fail("tell whoever started the daemon that it serves");
  parent_.reset();
}

pid_file::pid_file(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  const std::string unfinished = path_ + ".tmp";
  std::ofstream file(unfinished);
  file << getpid() << '\n' << std::flush;
  if (file && std::rename(unfinished.c_str(), path_.c_str()) == 0) return;
  const int why = errno;
  if (file.is_open()) unlink(unfinished.c_str());
  errno = why;
  fail("write the pid file " + path_);
}

pid_file::~pid_file() {
  if (!path_.empty()) unlink(path_.c_str());
}

// Memory locks do not survive fork(), and need root's rights: between the two.
readiness prepare_process(const settings& s) {
  for (const int number : {SIGPIPE, SIGUSR1, SIGUSR2}) std::signal(number, SIG_IGN);
  if (s.verbose > 0) {
    for (const std::string& name : s.without_effect) {
      std::fprintf(stderr, "-o %s has no effect here: it tunes memcached's storage\n", name.c_str());
    }
  }
  if (s.maximize_core) allow_core_files();
  limit_open_files(s.maxconns);
  const std::optional<user> who = user_to_become(s);
  // As 1.4.25: a daemon that was asked to be verbose keeps its streams.
  readiness ready(s.daemonize, s.verbose > 0);
  if (s.lock_memory) lock_memory(who.has_value());
  if (who) become(*who);
  return ready;
}

readiness prepare_proxy(bool daemonize) {
  for (const int number : {SIGPIPE, SIGUSR1, SIGUSR2}) std::signal(number, SIG_IGN);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("read the limit of open files");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("raise the limit of open files");
  return readiness(daemonize, false);
}
