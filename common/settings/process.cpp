// What the process does once, before it serves.
#include "common/settings/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <system_error>

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

// A child in a session of its own goes on; the parent is gone. The working directory stays, as paths may be relative to
// it.
void leave_the_terminal() {
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child > 0) _exit(0);
  if (setsid() < 0) fail("setsid");
}

void close_standard_streams() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) fail("open /dev/null");
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (dup2(null, stream) < 0) fail("redirect to /dev/null");
  }
  if (null > STDERR_FILENO) close(null);
}

// Also what is allocated later: under an ordinary user's limit that would fail, so a user to come needs the limit
// lifted.
void lock_memory(bool user_to_come) {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &unlimited) != 0 && user_to_come) fail("lift the limit of locked memory");
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) fail("lock the memory");
}

}  // namespace

pid_file::pid_file(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  const std::string unfinished = path_ + ".tmp";
  std::ofstream file(unfinished);
  file << getpid() << '\n' << std::flush;
  if (!file) fail("write the pid file " + unfinished);
  if (std::rename(unfinished.c_str(), path_.c_str()) != 0) fail("write the pid file " + path_);
}

pid_file::~pid_file() {
  if (!path_.empty()) unlink(path_.c_str());
}

// What a user may have got wrong comes first, while there is a terminal and an exit status to say so. Memory locks do
// not survive fork(), and need root's rights: between the two.
void prepare_process(const settings& s) {
  std::signal(SIGPIPE, SIG_IGN);
  if (s.maximize_core) allow_core_files();
  limit_open_files(s.maxconns);
  const std::optional<user> who = user_to_become(s);
  if (s.daemonize) leave_the_terminal();
  if (s.lock_memory) lock_memory(who.has_value());
  if (who) become(*who);
  // As 1.4.25: a daemon that was asked to be verbose keeps its streams.
  if (s.daemonize && s.verbose == 0) close_standard_streams();
}

void prepare_proxy(bool daemonize) {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("read the limit of open files");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("raise the limit of open files");
  if (!daemonize) return;
  leave_the_terminal();
  close_standard_streams();
}
