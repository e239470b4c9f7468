// Chapter 14: a proxy in front of one server. Requests are queued, and passed on without being copied.
#include <malloc.h>
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
  const settings opts = parse_command_line(argc, argv, {CHAPTER_NAME, CHAPTER_IDEA, CHAPTER_FLAGS, "server"});
  if (opts.server.empty()) throw usage_error("-o server=HOST:PORT says for whom it is the proxy");
  auto sockets = net::listen_tcp(opts.inter, std::max(opts.port, 0), opts.backlog);
  readiness ready = prepare_process(opts);
  const pid_file pid(opts.pid_file);

  mallopt(M_TRIM_THRESHOLD, 4 << 20);  // blocks come and go all the time: not back to the kernel each time

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
