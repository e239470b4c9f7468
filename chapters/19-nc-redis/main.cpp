// Chapter 19: twemproxy for memcached and redis. What hangs on the protocol is a handler, too.
#include <malloc.h>
#include <sysexits.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

#include "common/nutcracker/conf.h"
#include "common/nutcracker/options.h"
#include "common/settings/process.h"
#include "nc_core.h"

int main(int argc, char** argv) try {
  occupy_standard_streams();
  hold_signals();  // they are read (signal_init), and interrupt nobody
  const nutcracker::options opts = nutcracker::parse_options(argc, argv, {CHAPTER_NAME, CHAPTER_IDEA, CHAPTER_FLAGS});
  if (opts.describe_stats) {
    std::fputs(stats_description().c_str(), stdout);
    return EX_OK;
  }
  const std::vector<nutcracker::pool_conf> conf =
      nutcracker::read_conf(opts.conf_file, nutcracker::protocols::memcached_and_redis);
  if (opts.test_conf) {
    std::fprintf(stderr, "%s: good\n", opts.conf_file.c_str());
    return EX_OK;
  }
  readiness ready = prepare_proxy(opts.daemonize);
  const pid_file pid(opts.pid_file);

  mallopt(M_TRIM_THRESHOLD, 4 << 20);  // blocks come and go all the time: not back to the kernel each time

  context ctx(opts, conf);  // after prepare_proxy: epoll does not survive the fork of -d
  core_start(ctx);
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
