// The servers behind, and the pools that they make up.
#include "nc_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "common/hashkit/hash.h"
#include "nc_core.h"
#include "nc_message.h"

using nutcracker::log_level;

server::server(server_pool& p, const nutcracker::server_conf& c, std::size_t i)
    : conn_owner(p.ctx), pool(p), conf(c), index(i) {}

namespace {

// Places the keys anew, on the servers that are not ejected. Without memory for it they stay where they are.
void server_pool_rebuild(context& ctx, server_pool& pool) {
  std::vector<hashkit::server> live;
  msec next = 0;
  for (const auto& s : pool.servers) {
    const bool ejected = s->next_retry > ctx.now;
    if (ejected) next = next == 0 ? s->next_retry : std::min(next, s->next_retry);
    live.push_back({s->conf.name, s->conf.weight, !ejected});
  }
  pool.continuum = hashkit::continuum(pool.conf.distribution, live);
  pool.next_rebuild = next;
}

// An ejected server whose time is over takes keys again, until it fails again.
void server_pool_update(context& ctx, server_pool& pool) {
  if (pool.next_rebuild == 0 || ctx.now < pool.next_rebuild) return;
  server_pool_rebuild(ctx, pool);
  ctx.log.line(log_level::info, "pool '", pool.conf.name, "' takes servers back");
}

void server_failure(context& ctx, server& srv) noexcept {
  server_pool& pool = srv.pool;
  if (!pool.conf.auto_eject_hosts || ++srv.failure_count < pool.conf.server_failure_limit) return;
  srv.failure_count = 0;
  srv.next_retry = ctx.now + pool.conf.server_retry_timeout.count();
  try {
    server_pool_rebuild(ctx, pool);
  } catch (const std::bad_alloc&) {
    pool.next_rebuild = ctx.now;  // the next request tries again
  }
  ctx.stats.add(pool.index, stats_pool_field::server_ejects);
  ctx.stats.stamp(pool.index, srv.index, stats_server_field::server_ejected_at);
  ctx.log.line(log_level::warn, "pool '", pool.conf.name, "' ejects server '", srv.conf.name, "'");
}

}  // namespace

listeners::listeners(server_pool& p) : conn_owner(p.ctx), pool(p) {}

server_pool::server_pool(context& c, const nutcracker::pool_conf& f, std::size_t i)
    : conn_owner(c), conf(f), index(i), listeners(*this) {
  for (const nutcracker::server_conf& s : conf.servers) {
    servers.push_back(std::make_unique<server>(*this, s, servers.size()));
  }
  server_pool_rebuild(c, *this);
}

server* server_pool_server(context& ctx, server_pool& pool, std::string_view key) {
  server_pool_update(ctx, pool);
  const std::uint32_t hash = hashkit::hash(pool.conf.hash, hashkit::tagged_part(key, pool.conf.hash_tag));
  const std::optional<std::size_t> which = pool.continuum->dispatch(hash);
  return which ? pool.servers[*which].get() : nullptr;
}

void server_ref(conn& s, conn_owner& owner) {
  s.owner = &owner;
  conn_move(s, owner.conns);
}

void server_unref(context& ctx, conn& s) {
  const server& srv = *static_cast<server*>(s.owner);
  if (!s.connecting) ctx.stats.add(srv.pool.index, srv.index, stats_server_field::server_connections, -1);
  conn_move(s, ctx.closed);
}

bool server_active(const conn& s) { return !s.imsg_q.empty() || !s.omsg_q.empty(); }

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
  const net::address* const addr = server_resolve(srv);
  if (addr == nullptr) return false;
  s.sd.reset(socket(addr->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s.sd) return false;
  net::set_nodelay(s.sd.get());  // requests go out at once; those of a turn go together
  if (!event_add_conn(ctx.evb, s)) return false;
  const auto* const where = reinterpret_cast<const sockaddr*>(&addr->storage);
  if (connect(s.sd.get(), where, addr->length) == 0) server_connected(ctx, s);
  return !s.connecting || errno == EINPROGRESS;
}

}  // namespace

conn* server_conn(context& ctx, server& srv) {
  if (srv.conns.size() >= srv.pool.conf.server_connections) {
    conn& s = srv.conns.front();
    conn_move(s, srv.conns);  // to the end: the others come first now
    return &s;
  }
  conn& s = conn_get(srv, conn_role::server);
  if (server_connect(ctx, srv, s)) return &s;
  const int why = errno;
  conn_put(ctx, s);
  ctx.stats.add(srv.pool.index, srv.index, stats_server_field::server_err);
  server_failure(ctx, srv);
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
  const server& srv = *static_cast<server*>(s.owner);
  ctx.stats.add(srv.pool.index, srv.index, stats_server_field::server_connections);
  ctx.log.line(log_level::info, "connected on s ", s.sd.get(), " to server '", srv.conf.name, "'");
}

void server_ok(conn& s) noexcept { static_cast<server*>(s.owner)->failure_count = 0; }

void server_close(context& ctx, conn& s) noexcept {
  server& srv = *static_cast<server*>(s.owner);
  ctx.stats.add(srv.pool.index, srv.index,
                s.err == ETIMEDOUT ? stats_server_field::server_timedout
                : s.err != 0       ? stats_server_field::server_err
                                   : stats_server_field::server_eof);
  // An end in the middle of what was promised.
  if (s.err == 0) s.err = ECONNRESET;
  ctx.log.line(log_level::info, "server '", srv.conf.name, "': ", strerrordesc_np(s.err));
  if (s.connecting) srv.addr.reset();  // it may have moved
  conn_put(ctx, s);
  server_failure(ctx, srv);
  while (!s.omsg_q.empty()) {
    const msg_ref request = s.omsg_q.front();
    s.dequeue_outq(s);
    req_failed(ctx, *request, s.err);
  }
  while (!s.imsg_q.empty()) {
    const msg_ref request = s.imsg_q.front();
    s.dequeue_inq(s);
    req_failed(ctx, *request, s.err);
  }
  req_relieve(ctx, srv.pool);
}
