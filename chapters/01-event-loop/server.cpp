// Setting up: the sockets, the event base, and a connection in conn_listening for each socket.
#include "server.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "common/net/sockets.h"

server::server(const ::settings& opts) : settings(opts), trace(opts.verbose, opts.trace), main_base(event_base_new()) {
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
