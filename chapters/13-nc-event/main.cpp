// Chapter 13: twemproxy's event model. One thread, an event loop of its own, and connections that are sets of handlers.
#include <sysexits.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <system_error>
#include <utility>

#include "common/net/sockets.h"
#include "common/settings/process.h"
#include "nc_core.h"

int main(int argc, char** argv) try {
  occupy_standard_streams();
  hold_signals();  // they are read (signal_init), and interrupt nobody
  const settings opts = parse_command_line(argc, argv, {CHAPTER_NAME, CHAPTER_IDEA, CHAPTER_FLAGS, "level,read_once"});
  auto sockets = net::listen_tcp(opts.inter, std::max(opts.port, 0), opts.backlog);
  readiness ready = prepare_process(opts);
  const pid_file pid(opts.pid_file);

  context ctx(opts);
  core_start(ctx, std::move(sockets));
  ready.announce();  // with -d, the one who waits at the terminal ends here
  while (!ctx.stop) {
    if (core_loop(ctx) != NC_OK) throw std::system_error(errno, std::generic_category(), "epoll_wait");
  }
  return EX_OK;
} catch (const usage_error& e) {
  std::fprintf(stderr, "%s: %s\n", CHAPTER_NAME, e.what());
  return EX_USAGE;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s: %s\n", CHAPTER_NAME, e.what());
  return 1;
}
