// Chapter 09: many locks instead of one, and no counter that two threads write.
#include <event2/event.h>
#include <sysexits.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "common/settings/process.h"
#include "server.h"

int main(int argc, char** argv) try {
  occupy_standard_streams();
  hold_signals();  // until they are events: whoever can reach us can end us
  const settings opts = parse_command_line(argc, argv, {CHAPTER_NAME, CHAPTER_IDEA, CHAPTER_FLAGS, "nagle", diagram});
  auto sockets = server_sockets(opts);  // first: a port below 1024 needs the rights that -u gives up
  readiness ready = prepare_process(opts);

  server srv(opts);  // after prepare_process: an event base does not survive the fork of -d
  memcached_thread_init(srv, opts.num_threads);
  const pid_file pid(opts.pid_file);  // late: libevent itself ends a process that has no descriptor for it
  start_listening(srv, std::move(sockets));
  ready.announce();   // with -d, the one who waits at the terminal ends here
  release_signals();  // they are events now, and the workers inherited that they wait: only the master hears one
  event_base_loop(srv.dispatcher_thread.base.get(), 0);
  return EX_OK;
} catch (const usage_error& e) {
  std::fprintf(stderr, "%s: %s\n", CHAPTER_NAME, e.what());
  return EX_USAGE;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s: %s\n", CHAPTER_NAME, e.what());
  return 1;
}
