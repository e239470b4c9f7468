// What the process does once, before it serves: limits, user, daemon, pid file.
#pragma once

#include <string>

#include "common/settings/settings.h"

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

// Applies -r, -c, -u, -d and -k, in the order that lets each work, and ignores SIGPIPE (a peer that closed is an error
// of write(), not the end of the server). Sets the descriptor limit to -c, raising the hard limit if it may. As root
// without -u: a one-line warning. Call after the sockets are bound (they may need root) and before any thread or event
// base is made (-d forks). Throws std::system_error naming what failed, usage_error for a user that is not there.
void prepare_process(const settings& s);

// The same for a proxy, which has nutcracker's command line: ignores SIGPIPE, lifts the limit of open files as far as it
// may, and with `daemonize` leaves the terminal and its streams. Call before any thread or epoll descriptor is made. Throws
// std::system_error naming what failed.
void prepare_proxy(bool daemonize);
