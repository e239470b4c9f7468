// Setting up: the sockets, the event base, and a connection in conn_listening for each socket.
#include "server.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "common/net/sockets.h"
#include "common/protocol/version.h"

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
}

std::vector<net::unique_fd> server_sockets(const settings& opts) {
  if (opts.port == 0) return {};
  return net::listen_tcp(opts.inter, std::max(opts.port, 0), opts.backlog);
}

void start_listening(server& srv, std::vector<net::unique_fd> sockets) {
  std::vector<int> descriptors;
  for (net::unique_fd& socket : sockets) {
    const int sfd = descriptors.emplace_back(socket.get());
    net::set_nodelay(sfd);  // its clients inherit it
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
