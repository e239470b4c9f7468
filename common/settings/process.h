// What the process does once, before it serves: streams, signals, limits, user, daemon, pid file.
#pragma once

#include <string>

#include "common/net/unique_fd.h"
#include "common/settings/settings.h"

// First thing in main. Whoever starts us may have closed stdin, stdout or stderr, and the kernel gives out the lowest
// number that is free: our listener would be descriptor 1, and whatever is printed would go into it. So that none of
// ours is 0 to 2, /dev/null takes the places that are empty. Throws std::system_error.
void occupy_standard_streams();

// Before the first socket listens: from now on the signals that a program of ours makes events (SIGHUP, SIGINT,
// SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU) wait, and none of them ends a process that cannot hear it yet.
// Once they are events, release_signals() lets them come, those that have waited first.
void hold_signals() noexcept;
void release_signals() noexcept;

// Whether whoever started us, or -d, wants it ignored.
[[nodiscard]] bool is_ignored(int signal) noexcept;

// With -d there are two processes until the daemon serves: it, and its parent, which waits at the terminal. What goes
// wrong before announce() is said on the terminal by the daemon, and its exit status is the parent's. Without -d there
// is one, and announce() does nothing. Owns: the daemon's end of the pipe to its parent.
class [[nodiscard]] readiness {
 public:
  // Forks, and returns in the daemon, in a session of its own. In the parent it does not return, except by
  // std::runtime_error if the daemon was killed by a signal.
  readiness(bool daemonize, bool keep_streams);

  // Nothing can go wrong any more: the daemon gives up the terminal's streams, and the parent ends with status 0.
  // Throws std::system_error if the parent has gone: who started us has given up, and so do we.
  void announce();

 private:
  net::unique_fd parent_;  // without -d: none
  net::unique_fd null_;    // what the streams become; none: they stay as they are
};

// Owns: the pid file of -P, removed on destruction; writes nothing if the path is empty. Throws std::system_error.
class pid_file {
 public:
  explicit pid_file(std::string path);
  ~pid_file();
  pid_file(const pid_file&) = delete;
  pid_file& operator=(const pid_file&) = delete;

 private:
  std::string path_;
};

// Applies -r, -c, -u, -d and -k, in the order that lets each work. Sets the descriptor limit to -c, raising the hard
// limit if it may. Ignores SIGPIPE (a peer that closed is an error of write(), not the end of the server), SIGUSR1 and
// SIGUSR2 (until they mean something, from chapter 08 on), and under -d SIGHUP. Says as root without -u that it is
// root, and at -v which names of -o have no effect. Call after the sockets are bound (they may need root) and before
// any thread or event base is made (-d forks). Throws std::system_error naming what failed, usage_error for a user that
// is not there.
readiness prepare_process(const settings& s);

// The same for a proxy, which has nutcracker's command line: ignores SIGPIPE, lifts the limit of open files as far as
// it may, and becomes a daemon. Call before any thread or epoll descriptor is made. Throws std::system_error naming
// what failed.
readiness prepare_proxy(bool daemonize);
