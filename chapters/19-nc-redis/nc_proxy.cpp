// The role that listens.
#include "nc_proxy.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "common/net/sockets.h"
#include "nc_core.h"

using nutcracker::log_level;

void proxy_close(context& ctx, conn& p) noexcept { conn_put(ctx, p); }

namespace {

void proxy_listen(context& ctx, server_pool& pool, net::unique_fd socket) {
  conn& p = conn_get(pool, pool.p_conn, conn_role::proxy);
  p.sd = std::move(socket);
  net::set_nodelay(p.sd.get());  // its clients inherit it
  net::set_keepalive(p.sd.get(), pool.conf.tcpkeepalive);
  if (!event_add_conn(ctx.evb, p)) throw std::system_error(errno, std::generic_category(), "cannot watch a listener");
  event_del_out(ctx.evb, p);
  ctx.log.line(log_level::notice, "p ", p.sd.get(), " listening on '", nutcracker::to_string(pool.conf.listen.where),
               "' in pool '", pool.conf.name, "' with ", pool.servers.size(), " servers");
}

std::vector<net::unique_fd> proxy_sockets(context& ctx, server_pool& pool) {
  const nutcracker::pool_conf& conf = pool.conf;
  const nutcracker::endpoint& where = conf.listen.where;
  std::vector<net::unique_fd> sockets;
  if (where.is_unix()) {
    sockets.push_back(net::listen_unix(where.host, conf.listen.mode.value_or(0700), conf.backlog));
    pool.file.emplace_back(where.host);
    return sockets;
  }
  const auto interfaces = where.host == "*" ? std::vector<std::string>{} : std::vector{where.host};
  return net::listen_tcp(interfaces, where.port, conf.backlog, [&](const std::string& why) {
    ctx.log.line(log_level::warn, "pool '", conf.name, "' has one address less: ", why);
  });
}

// One client. Clears recv_ready when there is no other.
void proxy_accept(context& ctx, conn& p) {
  const int sd = accept4(p.sd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  ctx.trace.call(p.sd.get(), "accept4", sd);
  if (sd == -1) {
    if (errno == EINTR || errno == ECONNABORTED) return;
    p.recv_ready = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    ctx.log.line(log_level::crit, "accept on p ", p.sd.get(), ": ", strerrordesc_np(errno));
    p.err = errno;  // proxy_accept_again finds it here
    return;
  }
  net::unique_fd client(sd);
  server_pool& pool = pool_of(p);
  if (pool.conf.client_connections != 0 && pool.c_conn_q.size() >= pool.conf.client_connections) {
    ctx.log.line(log_level::warn, "a client more than client_connections allows is sent away");
    return;
  }
  try {
    conn& c = conn_get(pool, pool.c_conn_q, conn_role::client);
    c.sd = std::move(client);
    if (!event_add_conn(ctx.evb, c)) {
      ctx.log.line(log_level::error, "epoll_ctl refuses a client");
      return conn_put(ctx, c);
    }
    ctx.trace.opened(sd);
    ctx.stats.add(pool.index, stats_pool_field::client_connections);
    if (ctx.log.loggable(log_level::info)) {
      ctx.log.line(log_level::info, "accepted c ", sd, " on p ", p.sd.get(), " from ", net::peer_address(sd));
    }
  } catch (const std::bad_alloc&) {
    ctx.log.line(log_level::crit, "out of memory for a client");
  }
}

}  // namespace

void proxy_each_init(context& ctx, server_pool& pool, std::vector<int>& all) {
  for (net::unique_fd& socket : proxy_sockets(ctx, pool)) {
    all.push_back(socket.get());
    proxy_listen(ctx, pool, std::move(socket));
  }
}

rstatus_t proxy_recv(context& ctx, conn& p) {
  p.recv_ready = true;
  p.err = 0;
  do {
    proxy_accept(ctx, p);
  } while (p.recv_ready);
  return NC_OK;
}

void proxy_accept_again(context& ctx) noexcept {
  for (const auto& pool : ctx.pools) {
    for (conn& p : pool->p_conn) {
      if (p.err != 0) core_core(p, EVENT_READ);
    }
  }
}
