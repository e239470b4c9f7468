// Setting up: the sockets, the event base, and a connection in conn_listening for each socket.
#include "server.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "common/net/sockets.h"
#include "common/protocol/version.h"
#include "common/settings/process.h"

namespace {

// What the command line says of the storage.
storage::options storage_options(const settings& opts, storage::locking locks) noexcept {
  return {
      .memory_limit = opts.maxbytes,
      .evict = opts.evict_to_free,
      .item_size_max = opts.item_size_max,
      .growth_factor = opts.factor,
      .chunk_size_min = opts.chunk_size,
      .use_cas = opts.use_cas,
      .hash_power = opts.hashpower_init,
      .locks = locks,
  };
}

}  // namespace

server::server(const ::settings& opts)
    : settings(opts),
      trace(opts.verbose, opts.trace),
      store(storage_options(opts, {})),
      env{store, commands, opts.flush_enabled, [this](unsigned level) { trace.set_verbosity(level); },
          [this](std::string_view group, const add_stat& add) { return process_stats(*this, group, add); }},
      main_base(event_base_new()) {
  if (!main_base) throw std::runtime_error("event_base_new: no event base");

  event_base* const base = main_base.get();
  constexpr timeval every_second{1, 0};
  event_assign(&clockevent, base, -1, EV_PERSIST, clock_handler, this);
  if (event_add(&clockevent, &every_second) == -1) throw std::runtime_error("cannot start the clock");

  constexpr std::array signals{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
  for (std::size_t i = 0; i < signals.size(); ++i) {
    evsignal_assign(&signal_events[i], base, signals[i], signal_handler, this);
    if (signals[i] == SIGHUP && is_ignored(SIGHUP)) continue;  // under -d, and under nohup
    if (evsignal_add(&signal_events[i], nullptr) == -1) throw std::runtime_error("cannot listen for signals");
  }
}

server::~server() {
  event_del(&clockevent);
  for (struct event& signal : signal_events) event_del(&signal);
}

std::vector<net::unique_fd> server_sockets(const settings& opts) {
  if (opts.port == 0) return {};
  return net::listen_tcp(opts.inter, std::max(opts.port, 0), opts.backlog);
}

void start_listening(server& srv, std::vector<net::unique_fd> sockets) {
  std::vector<int> descriptors;
  for (net::unique_fd& socket : sockets) {
    const int sfd = descriptors.emplace_back(socket.get());
    if (!srv.settings.nagle) net::set_nodelay(sfd);  // its clients inherit it
    srv.trace.listening(sfd);
    if (conn_new(srv, std::move(socket), conn_listening, EV_READ | EV_PERSIST) == nullptr) {
      throw std::runtime_error("cannot listen for events on the listening socket");
    }
  }
  if (const char* path = std::getenv("MEMCACHED_PORT_FILENAME")) net::write_port_file(path, descriptors);
}

bool process_stats(server& srv, std::string_view group, const add_stat& add) {
  if (group == "settings") {
    add_settings_stats(add, srv.settings, srv.trace.verbosity(), srv.env.prefixes->on());
  } else if (group == "reset") {
    srv.stats.reset();
    srv.traffic.reset();
  } else if (group.empty()) {
    add_process_stats(add, srv.clock, protocol::version, event_get_version());
    add_connection_stats(add, srv.stats, srv.settings);
    srv.commands.add_stats(add);
    add_traffic_stats(add, srv.traffic.counts(), srv.stats, srv.settings);
    srv.store.add_general_stats(add);
  } else {
    return false;
  }
  return true;
}

void clock_handler(evutil_socket_t, short, void* arg) noexcept {
  server& srv = *static_cast<server*>(arg);
  if (srv.trace.timer("clock")) srv.store.set_time(srv.clock.time());
}

void signal_handler(evutil_socket_t, short, void* arg) noexcept {
  event_base_loopbreak(static_cast<server*>(arg)->main_base.get());
}
