// The server: one thread, one event base, and the connections that live on it.
#pragma once

#include <event2/event.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/settings/settings.h"
#include "common/trace/tracer.h"
#include "conn.h"

struct event_base_deleter {
  void operator()(event_base* base) const noexcept { event_base_free(base); }
};

// Thread: the only one. Owns: the event base and every connection. The connections die first: their events are on it.
struct server {
  explicit server(const ::settings& opts);

  const ::settings& settings;
  tracer trace;
  std::unique_ptr<event_base, event_base_deleter> main_base;
  std::unordered_map<int, std::unique_ptr<conn>> conns;  // by descriptor
};

// Binds what the command line names. Throws std::system_error.
[[nodiscard]] std::vector<net::unique_fd> server_sockets(const settings& opts);

// Takes clients from these sockets, and tells a harness where they are if the environment asks for it.
void start_listening(server& srv, std::vector<net::unique_fd> sockets);
