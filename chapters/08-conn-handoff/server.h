// The server: the master, which accepts, its workers, and the storage that they share.
// New in this chapter: connections by descriptor, one free list for the queues, and workers that can be paused.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <array>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/protocol/text.h"
#include "common/settings/clock.h"
#include "common/settings/settings.h"
#include "common/settings/stats.h"
#include "common/storage/store.h"
#include "common/trace/tracer.h"
#include "conn.h"
#include "thread.h"

// Thread: the master's, except where a member says that it may be reached from all. Owns: the storage, the threads and
// all connections. The workers end first, then the connections die, then the bases on which their events were.
struct server {
  explicit server(const ::settings& opts);
  ~server();

  const ::settings& settings;
  tracer trace;                                      // all threads
  process_clock clock;                               // all threads
  ::stats stats;                                     // all threads
  traffic_stats traffic;                             // all threads
  storage::store store;                              // all threads: it has a lock
  std::shared_ptr<protocol::prefix_stats> prefixes;  // all threads: it has a lock

  // By descriptor, one for every number that the kernel may give out, each made when it is first needed and then kept.
  // Thread: *conns[n] belongs to whoever holds descriptor n, for the kernel gives a number to one at a time. But C++
  // knows nothing of the kernel, so the number passes from thread to thread under the lock (conn_new, conn_close).
  std::mutex conns_lock;
  std::vector<std::unique_ptr<conn>> conns;

  libevent_thread dispatcher_thread;  // the master: a base, and the listening connections
  std::vector<std::unique_ptr<libevent_thread>> threads;
  int last_thread = -1;  // the worker that got the last client
  thread_registration registration;
  conn_queue cqi_freelist;

  struct event clockevent;
  std::array<struct event, 6> signal_events;
  bool paused = false;
};

// Binds what the command line names. Throws std::system_error.
[[nodiscard]] std::vector<net::unique_fd> server_sockets(const settings& opts);

// Takes clients from these sockets, and tells a harness where they are if the environment asks for it.
void start_listening(server& srv, std::vector<net::unique_fd> sockets);

// libevent calls this once a second; `arg` is the server. It is what makes items expire.
void clock_handler(evutil_socket_t fd, short which, void* arg) noexcept;

// Makes room in `conns` for every descriptor that the process may have. Throws std::system_error.
void conn_init(server& srv);

// libevent calls this after a signal; `arg` is the server. SIGUSR1 pauses the workers, SIGUSR2 lets them go on, all
// others end the loop.
void signal_handler(evutil_socket_t signal, short which, void* arg) noexcept;

// What all workers have counted.
void sum_commands(const server& srv, protocol::command_stats& sum);

// "stats" and its groups, as far as the server knows the answer and not the storage. False: no such group.
bool process_stats(server& srv, std::string_view group, const add_stat& add);
