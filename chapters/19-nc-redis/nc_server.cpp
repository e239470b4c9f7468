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
#include "nc_redis.h"

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
  ctx.trace.returned(pool.conf.name);
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
  ctx.trace.ejected(srv.conf.name);
  ctx.stats.add(pool.index, stats_pool_field::server_ejects);
  ctx.stats.stamp(pool.index, srv.index, stats_server_field::server_ejected_at);
  ctx.log.line(log_level::warn, "pool '", pool.conf.name, "' ejects server '", srv.conf.name, "'");
}

}  // namespace

socket_file::~socket_file() {
  if (!path_.empty()) unlink(path_.c_str());
}

server_pool::server_pool(context& c, const nutcracker::pool_conf& f, std::size_t i)
    : conn_owner(c), conf(f), proto(f.redis ? redis_proto : memcache_proto), index(i) {
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
  if (server_connect(ctx, srv, s)) {
    if (srv.pool.conf.redis) redis_post_connect(ctx, s);
    return &s;
  }
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
  s.send_ready = true;
  const server& srv = server_of(s);
  ctx.trace.connected(s.sd.get(), srv.conf.name);
  ctx.stats.add(srv.pool.index, srv.index, stats_server_field::server_connections);
  ctx.log.line(log_level::info, "connected on s ", s.sd.get(), " to server '", srv.conf.name, "'");
}

void server_ok(conn& s) noexcept { server_of(s).failure_count = 0; }

namespace {

// The request that it has had for the longest time. nullptr: none.
msg* oldest(const conn& s) noexcept { return s.omsg_q.empty() ? s.imsg_q.front() : s.omsg_q.front(); }

}  // namespace

// All requests of a pool may take equally long, so the oldest tells for all of them; and a look at it now and then is
// enough. So an alarm costs nothing while requests come and go: when it goes off, it is set for whichever is the oldest
// then.
void server_watch(context& ctx, conn& s) noexcept try {
  const auto timeout = pool_of(s).conf.timeout;
  msg* const request = oldest(s);
  if (!timeout || request == nullptr || s.alarm) return;
  if (request->since == 0) request->since = ctx.now;
  s.alarm = ctx.alarms.emplace(request->since + timeout->count(), &s);
} catch (const std::bad_alloc&) {  // the next request for it tries again
}

void server_unwatch(context& ctx, conn& s) noexcept {
  if (s.alarm) ctx.alarms.erase(*s.alarm);
  s.alarm.reset();
}

bool server_is_late(context& ctx, const conn& s) noexcept {
  const msg* const request = oldest(s);
  return request != nullptr && request->since != 0 && request->since + pool_of(s).conf.timeout->count() <= ctx.now;
}

void server_close(context& ctx, conn& s) noexcept {
  server& srv = server_of(s);
  ctx.stats.add(srv.pool.index, srv.index,
                s.err == ETIMEDOUT ? stats_server_field::server_timedout
                : s.err != 0       ? stats_server_field::server_err
                                   : stats_server_field::server_eof);
  if (!s.connecting) ctx.stats.add(srv.pool.index, srv.index, stats_server_field::server_connections, -1);
  // An end in the middle of what was promised.
  if (s.err == 0 && oldest(s) != nullptr) s.err = ECONNRESET;
  if (s.err == ETIMEDOUT) ctx.trace.timed_out(s.sd.get(), srv.conf.name);
  ctx.log.line(log_level::info, "server '", srv.conf.name, "': ", s.err == 0 ? "has hung up" : strerrordesc_np(s.err));
  srv.addr.reset();  // it may have moved
  server_unwatch(ctx, s);
  conn_put(ctx, s);
  if (s.err != 0) server_failure(ctx, srv);  // a server may hang up on somebody who is silent
  while (!s.omsg_q.empty()) req_failed(ctx, *req_server_dequeue_omsgq(s), s.err);
  while (!s.imsg_q.empty()) req_failed(ctx, *req_server_dequeue_imsgq(s), s.err);
  req_relieve(ctx, s);
}
