// The server: one thread, one event base, the connections that live on it, and the storage they share.
// New in this chapter: freeconns, the clock as an event, signals as events.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <array>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/protocol/text.h"
#include "common/settings/clock.h"
#include "common/settings/settings.h"
#include "common/settings/stats.h"
#include "common/storage/store.h"
#include "common/trace/tracer.h"
#include "conn.h"

struct event_base_deleter {
  void operator()(event_base* base) const noexcept { event_base_free(base); }
};

// Thread: the only one. Owns: the storage, the event base and every connection. The connections die first, for their
// events are on the base and their items in the storage.
struct server {
  explicit server(const ::settings& opts);
  ~server();

  const ::settings& settings;
  tracer trace;
  process_clock clock;
  ::stats stats;
  traffic_stats traffic;
  protocol::command_stats commands;
  storage::store store;
  protocol::environment env;  // what commands may reach of all this
  protocol::outcome outcome;  // what the last command asked for
  std::unique_ptr<event_base, event_base_deleter> main_base;
  std::unordered_map<int, std::unique_ptr<conn>> conns;  // by descriptor
  std::vector<std::unique_ptr<conn>> freeconns;          // closed, to be used again; the last one first

  struct event clockevent;
  std::array<struct event, 4> signal_events;
};

// Binds what the command line names. Throws std::system_error.
[[nodiscard]] std::vector<net::unique_fd> server_sockets(const settings& opts);

// Takes clients from these sockets, and tells a harness where they are if the environment asks for it.
void start_listening(server& srv, std::vector<net::unique_fd> sockets);

// libevent calls this once a second; `arg` is the server. It is what makes items expire.
void clock_handler(evutil_socket_t fd, short which, void* arg) noexcept;

// libevent calls this after SIGHUP, SIGINT, SIGQUIT or SIGTERM; `arg` is the server. Ends the loop.
void signal_handler(evutil_socket_t signal, short which, void* arg) noexcept;

// "stats" and its groups, as far as the server knows the answer and not the storage. False: no such group.
bool process_stats(server& srv, std::string_view group, const add_stat& add);
