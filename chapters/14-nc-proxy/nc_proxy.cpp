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

void proxy_ref(conn& p, conn_owner& owner) {
  p.owner = &owner;
  conn_move(p, owner.conns);
}

void proxy_unref(context& ctx, conn& p) { conn_move(p, ctx.closed); }

void proxy_close(context& ctx, conn& p) noexcept { conn_put(ctx, p); }

namespace {

void proxy_listen(context& ctx, server_pool& pool, net::unique_fd socket) {
  conn& p = conn_get_proxy(pool.listeners);
  p.sd = std::move(socket);
  net::set_nodelay(p.sd.get());  // its clients inherit it
  net::set_keepalive(p.sd.get(), pool.conf.tcpkeepalive);
  if (!event_add_conn(ctx.evb, p)) throw std::system_error(errno, std::generic_category(), "cannot watch a listener");
  event_del_out(ctx.evb, p);
  ctx.log.line(log_level::notice, "p ", p.sd.get(), " listening on '", nutcracker::to_string(pool.conf.listen.where),
               "' in pool '", pool.conf.name, "' with ", pool.servers.size(), " servers");
}

std::vector<net::unique_fd> proxy_sockets(context& ctx, const nutcracker::pool_conf& conf) {
  const nutcracker::endpoint& where = conf.listen.where;
  std::vector<net::unique_fd> sockets;
  if (where.is_unix()) {
    sockets.push_back(net::listen_unix(where.host, conf.listen.mode.value_or(0700), conf.backlog));
    return sockets;
  }
  const auto interfaces = where.host == "*" ? std::vector<std::string>{} : std::vector{where.host};
  return net::listen_tcp(interfaces, where.port, conf.backlog, [&](const std::string& why) {
    ctx.log.line(log_level::warn, "pool '", conf.name, "' has one address less: ", why);
  });
}

// One client. Clears recv_ready when there is no other.
rstatus_t proxy_accept(context& ctx, conn& p) {
  const int sd = accept4(p.sd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (sd == -1) {
    if (errno == EINTR || errno == ECONNABORTED) return NC_OK;
    p.recv_ready = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return NC_OK;
    ctx.log.line(log_level::crit, "accept on p ", p.sd.get(), ": ", strerrordesc_np(errno));
    p.err = errno;  // proxy_accept_again finds it here
    return NC_OK;
  }
  net::unique_fd client(sd);
  server_pool& pool = static_cast<listeners*>(p.owner)->pool;
  if (pool.conf.client_connections != 0 && pool.conns.size() >= pool.conf.client_connections) {
    ctx.log.line(log_level::warn, "a client more than client_connections allows is sent away");
    return NC_OK;
  }
  try {
    conn& c = conn_get(pool, conn_role::client);
    c.sd = std::move(client);
    if (!event_add_conn(ctx.evb, c)) {
      ctx.log.line(log_level::error, "epoll_ctl refuses a client");
      conn_put(ctx, c);
      return NC_OK;
    }
    if (ctx.log.loggable(log_level::info)) {
      ctx.log.line(log_level::info, "accepted c ", sd, " on p ", p.sd.get(), " from ", net::peer_address(sd));
    }
  } catch (const std::bad_alloc&) {
    ctx.log.line(log_level::crit, "out of memory for a client");
  }
  return NC_OK;
}

}  // namespace

void proxy_each_init(context& ctx, server_pool& pool, std::vector<int>& all) {
  for (net::unique_fd& socket : proxy_sockets(ctx, pool.conf)) {
    all.push_back(socket.get());
    proxy_listen(ctx, pool, std::move(socket));
  }
}

rstatus_t proxy_recv(context& ctx, conn& p) {
  p.recv_ready = true;
  p.err = 0;
  do {
    if (proxy_accept(ctx, p) != NC_OK) return NC_ERROR;
  } while (p.recv_ready);
  return NC_OK;
}

void proxy_accept_again(context& ctx) noexcept {
  for (const auto& pool : ctx.pools) {
    for (conn& p : pool->listeners.conns) {
      if (p.err != 0) core_core(p, EVENT_READ);
    }
  }
}
