// The servers behind, and the pools that they make up.
#include "nc_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "common/hashkit/hash.h"
#include "nc_core.h"
#include "nc_message.h"

using nutcracker::log_level;

server::server(server_pool& p, const nutcracker::server_conf& c) : conn_owner(p.ctx), pool(p), conf(c) {}

namespace {

hashkit::continuum place_keys(const nutcracker::pool_conf& conf) {
  std::vector<hashkit::server> servers;
  for (const nutcracker::server_conf& s : conf.servers) servers.push_back({s.name, s.weight});
  return {conf.distribution, servers};
}

}  // namespace

socket_file::~socket_file() {
  if (!path_.empty()) unlink(path_.c_str());
}

server_pool::server_pool(context& c, const nutcracker::pool_conf& f)
    : conn_owner(c), conf(f), continuum(place_keys(conf)) {
  for (const nutcracker::server_conf& s : conf.servers) servers.push_back(std::make_unique<server>(*this, s));
}

server& server_pool_server(server_pool& pool, std::string_view key) {
  const std::uint32_t hash = hashkit::hash(pool.conf.hash, hashkit::tagged_part(key, pool.conf.hash_tag));
  return *pool.servers[*pool.continuum.dispatch(hash)];
}

namespace {

// Looks the server's name up, until it is found. The one thing in the loop that can make everybody wait; a number
// instead of a name takes no time. nullptr: errno says why there is no address.
const net::address* server_resolve(server& srv) noexcept try {
  if (!srv.addr) {
    const nutcracker::endpoint& where = srv.conf.where;
    srv.addr = where.is_unix() ? net::unix_address(where.host) : net::resolve_tcp(where.host, where.port);
  }
  return &*srv.addr;
} catch (const std::exception& e) {
  srv.ctx.log.line(log_level::error, e.what());
  errno = EHOSTDOWN;  // as nutcracker says it
  return nullptr;
}

// Begins to connect, and does not wait: until the socket can be written to, requests gather in imsg_q.
bool server_connect(context& ctx, server& srv, conn& s) {
  s.connecting = true;
  s.send_ready = false;
  const net::address* const addr = server_resolve(srv);
  if (addr == nullptr) return false;
  s.sd.reset(socket(addr->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s.sd) return false;
  ctx.trace.connecting(s.sd.get(), srv.conf.name);
  net::set_nodelay(s.sd.get());  // requests go out at once; those of a turn go together
  if (!event_add_conn(ctx.evb, s)) return false;
  const auto* const where = reinterpret_cast<const sockaddr*>(&addr->storage);
  if (connect(s.sd.get(), where, addr->length) == 0) server_connected(ctx, s);
  return !s.connecting || errno == EINPROGRESS;
}

}  // namespace

conn* server_conn(context& ctx, server& srv) {
  if (srv.s_conn_q.size() >= srv.pool.conf.server_connections) {
    conn& s = srv.s_conn_q.front();
    conn_move(s, srv.s_conn_q);  // to the end: the others come first now
    return &s;
  }
  conn& s = conn_get(srv, srv.s_conn_q, conn_role::server);
  if (server_connect(ctx, srv, s)) return &s;
  const int why = errno;
  conn_put(ctx, s);
  errno = why;
  return nullptr;
}

void server_pool_preconnect(context& ctx, server_pool& pool) {
  for (const auto& srv : pool.servers) {
    for (std::uint32_t i = 0; i < pool.conf.server_connections; ++i) (void)server_conn(ctx, *srv);
  }
}

void server_connected(context& ctx, conn& s) {
  s.connecting = false;
  s.send_ready = true;
  const server& srv = server_of(s);
  ctx.trace.connected(s.sd.get(), srv.conf.name);
  ctx.log.line(log_level::info, "connected on s ", s.sd.get(), " to server '", srv.conf.name, "'");
}

void server_close(context& ctx, conn& s) noexcept {
  server& srv = server_of(s);
  // An end in the middle of what was promised.
  if (s.err == 0 && (!s.omsg_q.empty() || !s.imsg_q.empty())) s.err = ECONNRESET;
  ctx.log.line(log_level::info, "server '", srv.conf.name, "': ", s.err == 0 ? "has hung up" : strerrordesc_np(s.err));
  if (s.connecting) srv.addr.reset();  // it may have moved
  conn_put(ctx, s);
  while (!s.omsg_q.empty()) req_failed(ctx, *req_server_dequeue_omsgq(s), s.err);
  while (!s.imsg_q.empty()) req_failed(ctx, *req_server_dequeue_imsgq(s), s.err);
  req_relieve(ctx, s);
}
