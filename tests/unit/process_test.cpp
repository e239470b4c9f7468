// common/settings/process.h. What it does to a process lasts, so each case has a process of its own.
#include "common/settings/process.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

#include <csignal>

#include "tests/unit/support.h"

using net::unique_fd;
using unit::child_result;
using unit::in_child;

namespace {

[[nodiscard]] bool are_root(const char* what) {
  if (geteuid() == 0) return true;
  MESSAGE("not root: ", what, " not tested");
  return false;
}

// Settings that prepare_process() finds nothing to say about.
[[nodiscard]] settings quiet() {
  settings s;
  s.maxconns = 256;
  s.username = "root";
  return s;
}

[[nodiscard]] bool is_null_device(int fd) {
  struct stat file {};
  return fstat(fd, &file) == 0 && S_ISCHR(file.st_mode) && major(file.st_rdev) == 1 && minor(file.st_rdev) == 3;
}

// The line of /proc/self/status that begins with `name`.
[[nodiscard]] std::string status_line(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return line;
  }
  return "";
}

}  // namespace

TEST_CASE("the limit of open files becomes -c, up or down") {
  for (const int maxconns : {40, 300}) {
    const child_result child = in_child([maxconns] {
      settings s = quiet();
      s.maxconns = maxconns;
      readiness ready = prepare_process(s);
      rlimit limit{};
      getrlimit(RLIMIT_NOFILE, &limit);
      return std::to_string(limit.rlim_cur) + (limit.rlim_max >= limit.rlim_cur ? "" : " of less");
    });
    CHECK(child.answer == std::to_string(maxconns));
    CHECK(child.streams.empty());
  }
}

TEST_CASE("the hard limit is raised where that is allowed, and where not the error says what to do") {
  const auto with_limit_100 = [](const std::function<std::string()>& work) {
    return in_child([&work] {
             const rlimit low{100, 100};
             setrlimit(RLIMIT_NOFILE, &low);
             return work();
           })
        .answer;
  };
  const auto may_raise = with_limit_100([] {
    const rlimit higher{150, 150};
    return std::string(setrlimit(RLIMIT_NOFILE, &higher) == 0 ? "yes" : "no");
  });
  const auto raised = with_limit_100([] {
    settings s = quiet();
    s.maxconns = 150;
    readiness ready = prepare_process(s);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return std::to_string(limit.rlim_cur);
  });
  CHECK(raised == (may_raise == "yes" ? "150"
                                      : "threw: cannot raise the limit of open files to 150 (try -c 100): "
                                        "Operation not permitted"));
  // More than any kernel allows.
  CHECK(with_limit_100([] {
          settings s = quiet();
          s.maxconns = 2'000'000'000;
          readiness ready = prepare_process(s);
          return std::string("did");
        }) == "threw: cannot raise the limit of open files to 2000000000 (try -c 100): Operation not permitted");
}

TEST_CASE("SIGPIPE, SIGUSR1 and SIGUSR2 are ignored") {
  const child_result child = in_child([] {
    const readiness ready = prepare_process(quiet());
    for (const int number : {SIGPIPE, SIGUSR1, SIGUSR2}) raise(number);
    return std::string("alive");
  });
  CHECK(child.answer == "alive");
}

TEST_CASE("root without -u: one line, and it runs") {
  if (!are_root("the warning")) return;
  const child_result child = in_child([] {
    settings s = quiet();
    s.username.clear();
    readiness ready = prepare_process(s);
    return std::to_string(geteuid());
  });
  CHECK(child.answer == "0");
  CHECK(child.streams == "running as root; -u USER gives up its rights\n");
}

TEST_CASE("-o: what has no effect is said at -v") {
  for (const unsigned verbose : {0u, 1u}) {
    const child_result child = in_child([verbose] {
      settings s = quiet();
      s.verbose = verbose;
      s.without_effect = {"lru_crawler", "slab_automove"};
      const readiness ready = prepare_process(s);
      return std::string();
    });
    CHECK(child.streams == (verbose == 0 ? ""
                                         : "-o lru_crawler has no effect here: it tunes memcached's storage\n"
                                           "-o slab_automove has no effect here: it tunes memcached's storage\n"));
  }
}

TEST_CASE("-u: no right of root is left") {
  if (!are_root("-u")) return;
  const passwd* nobody = getpwnam("nobody");
  REQUIRE(nobody != nullptr);
  const uid_t uid = nobody->pw_uid;
  const gid_t gid = nobody->pw_gid;
  const child_result child = in_child([uid, gid] {
    settings s = quiet();
    s.username = "nobody";
    readiness ready = prepare_process(s);
    uid_t r, e, saved;
    gid_t rg, eg, saved_g, groups[64];
    getresuid(&r, &e, &saved);
    getresgid(&rg, &eg, &saved_g);
    const int n = getgroups(64, groups);
    const bool gone = r == uid && e == uid && saved == uid && rg == gid && eg == gid && saved_g == gid;
    return std::string(gone && n == 1 && groups[0] == gid && setuid(0) != 0 ? "gone" : "something is left");
  });
  CHECK(child.answer == "gone");
  CHECK(child.streams.empty());
}

TEST_CASE("-u: a user that is not there") {
  if (!are_root("an unknown user")) return;
  const child_result child = in_child([] {
    settings s = quiet();
    s.username = "no such user";
    readiness ready = prepare_process(s);
    return std::string("did");
  });
  CHECK(child.answer == "threw: -u: can't find the user no such user");
}

TEST_CASE("-d: a session of its own, without the terminal's streams") {
  for (const unsigned verbose : {0u, 1u}) {
    const child_result child = in_child([verbose] {
      const pid_t before = getpid();
      settings s = quiet();
      s.daemonize = true;
      s.verbose = verbose;
      readiness ready = prepare_process(s);
      ready.announce();
      std::fputs("still here", stdout);
      std::fflush(stdout);
      const bool detached = getpid() != before && getsid(0) == getpid();
      const bool silent = is_null_device(0) && is_null_device(1) && is_null_device(2);
      return std::string(detached ? "detached" : "attached") + (silent ? " silent" : " talks");
    });
    CHECK(child.status == 0);
    CHECK(child.answer == (verbose == 0 ? "detached silent" : "detached talks"));
    CHECK(child.streams == (verbose == 0 ? "" : "still here"));
  }
}

TEST_CASE("-d: until the daemon serves, the parent waits, and ends as it does") {
  const auto daemon = [](const std::function<void(readiness&)>& start) {
    return in_child([&start] {
      std::signal(SIGCHLD, SIG_IGN);  // as some who start us leave it
      readiness ready(true, false);
      start(ready);
      return std::string();
    });
  };
  const child_result serves = daemon([](readiness& ready) {
    ready.announce();
    std::fputs("nobody hears this", stderr);
    _exit(3);
  });
  CHECK(serves.status == 0);
  CHECK(serves.streams.empty());

  const child_result fails = daemon([](readiness&) {
    std::fputs("this is wrong\n", stderr);
    _exit(64);
  });
  CHECK(fails.status == 64);
  CHECK(fails.streams == "this is wrong\n");

  CHECK(daemon([](readiness&) { raise(SIGKILL); }).answer ==
        "threw: the daemon was killed by signal 9 (Killed) before it served");
}

TEST_CASE("-d: a daemon whose parent has gone does not serve") {
  int pids[2];
  REQUIRE(pipe(pids) == 0);
  const pid_t starter = fork();
  REQUIRE(starter >= 0);
  if (starter == 0) {
    std::signal(SIGPIPE, SIG_IGN);
    readiness ready(true, true);
    const pid_t parent = getppid();
    kill(parent, SIGKILL);
    while (getppid() == parent) sched_yield();
    const std::string text = unit::thrown_text<std::system_error>([&] { ready.announce(); });
    _exit(write(pids[1], text.data(), text.size()) > 0 ? 0 : 1);
  }
  close(pids[1]);
  CHECK(unit::read_all(pids[0]) == "tell whoever started the daemon that it serves: Broken pipe");
  close(pids[0]);
  waitpid(starter, nullptr, 0);
}

TEST_CASE("-d: SIGHUP is ignored, and otherwise not") {
  for (const bool daemonize : {true, false}) {
    const child_result child = in_child([daemonize] {
      std::signal(SIGHUP, SIG_DFL);
      readiness ready(daemonize, true);
      ready.announce();
      return std::string(is_ignored(SIGHUP) ? "ignored" : "heard");
    });
    CHECK(child.answer == (daemonize ? "ignored" : "heard"));
  }
}

TEST_CASE("a standard stream that is closed becomes /dev/null, and no other") {
  for (int closed = 0; closed < 8; ++closed) {
    const child_result child = in_child([closed] {
      for (const int stream : {0, 1, 2}) {
        if ((closed & 1 << stream) != 0) close(stream);
      }
      occupy_standard_streams();
      std::string wrong;
      for (const int stream : {0, 1, 2}) {
        const bool was_closed = (closed & 1 << stream) != 0;
        if (was_closed && !is_null_device(stream)) wrong += std::to_string(stream);
        if (was_closed && stream > 0 && write(stream, "x", 1) != -1) wrong += " takes what is written";
      }
      const unique_fd next(open("/", O_RDONLY));
      return wrong + (next.get() > 2 ? "" : " the next one is too low");
    });
    CAPTURE(closed);
    CHECK(child.answer.empty());
    CHECK(child.status == 0);
  }
}

TEST_CASE("signals that are held come when they are let, and none is lost") {
  const child_result child = in_child([] {
    static std::string heard;
    std::signal(SIGTERM, [](int) { heard += "T"; });
    std::signal(SIGHUP, [](int) { heard += "H"; });
    hold_signals();
    raise(SIGTERM);
    raise(SIGHUP);
    const std::string before = heard;
    release_signals();
    return before + ":" + std::to_string(heard.size());
  });
  CHECK(child.answer == ":2");
}

TEST_CASE("-k: the memory is locked, -d and -u or not") {
  const auto locked = [](const std::function<void()>& lock) {
    return in_child([&lock] {
             lock();
             return status_line("VmLck:");
           })
        .answer;
  };
  const std::string none = locked([] {});
  if (locked([] { (void)mlockall(MCL_CURRENT | MCL_FUTURE); }) == none) {
    MESSAGE("this machine, or a sanitizer, does not lock memory: -k not tested");
    return;
  }
  settings s = quiet();
  s.lock_memory = true;
  CHECK(locked([&s] { const readiness ready = prepare_process(s); }) != none);
  s.daemonize = true;
  CHECK(locked([&s] { const readiness ready = prepare_process(s); }) != none);
  if (!are_root("-k with -u")) return;
  s.username = "nobody";
  const auto may_lift = in_child([] {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    return std::string(setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 ? "yes" : "no");
  });
  const child_result child = in_child([&s] {
    readiness ready = prepare_process(s);
    const std::vector<char> later(64 << 20, 'x');  // more than an ordinary user may lock
    return std::string(later.back() == 'x' ? "allocated" : "");
  });
  CHECK(child.answer ==
        (may_lift.answer == "yes" ? "allocated" : "threw: lift the limit of locked memory: Operation not permitted"));
}

TEST_CASE("-r: core files as large as may be") {
  const child_result child = in_child([] {
    rlimit limit{};
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &limit);
    settings s = quiet();
    s.maximize_core = true;
    readiness ready = prepare_process(s);
    getrlimit(RLIMIT_CORE, &limit);
    return std::string(limit.rlim_cur > 0 && limit.rlim_cur == limit.rlim_max ? "raised" : "low");
  });
  CHECK(child.answer == "raised");
}

TEST_CASE("pid_file") {
  const unit::temporary_directory directory;
  const std::string path = directory / "pid";
  {
    const pid_file file(path);
    CHECK(unit::contents(path) == std::to_string(getpid()) + "\n");
    CHECK(!std::filesystem::exists(path + ".tmp"));
  }
  CHECK(!std::filesystem::exists(path));
  { const pid_file none(""); }
  CHECK(unit::thrown_text<std::system_error>([&] { const pid_file file(directory / "no/pid"); }) ==
        "write the pid file " + directory.path() + "/no/pid: No such file or directory");
  CHECK(unit::thrown_text<std::system_error>([&] { const pid_file file(directory.path()); }) ==
        "write the pid file " + directory.path() + ": Is a directory");
  CHECK(!std::filesystem::exists(directory.path() + ".tmp"));
}
