// The role that listens.
#include "nc_proxy.h"

#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "common/net/sockets.h"
#include "nc_core.h"

void proxy_close(context& ctx, conn& p) noexcept { conn_put(ctx, p); }

void proxy_listen(context& ctx, net::unique_fd socket) {
  conn& p = conn_get(ctx.own, ctx.p_conn, conn_role::proxy);
  p.sd = std::move(socket);
  net::set_nodelay(p.sd.get());  // its clients inherit it
  if (!event_add_conn(ctx.evb, p)) throw std::system_error(errno, std::generic_category(), "cannot watch a listener");
  event_del_out(ctx.evb, p);
  ctx.trace.listening(p.sd.get());
}

namespace {

// One client. Clears recv_ready when there is no other.
void proxy_accept(context& ctx, conn& p) {
  const int sd = accept4(p.sd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  ctx.trace.call(p.sd.get(), "accept4", sd);
  if (sd == -1) {
    if (errno == EINTR || errno == ECONNABORTED) return;
    p.recv_ready = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    ctx.trace.problem(p.sd.get(), "accept", errno);
    p.err = errno;  // proxy_accept_again finds it here
    return;
  }
  net::unique_fd client(sd);
  try {
    conn& c = conn_get(ctx.own, ctx.c_conn_q, conn_role::client);
    c.sd = std::move(client);
    if (!event_add_conn(ctx.evb, c)) {
      ctx.trace.problem(sd, "epoll_ctl", errno);
      return conn_put(ctx, c);
    }
    ctx.trace.opened(sd);
  } catch (const std::bad_alloc&) {
    ctx.trace.problem(sd, "out of memory");
  }
}

}  // namespace

rstatus_t proxy_recv(context& ctx, conn& p) {
  p.recv_ready = true;
  p.err = 0;
  do {
    proxy_accept(ctx, p);
  } while (p.recv_ready);
  return NC_OK;
}

void proxy_accept_again(context& ctx) noexcept {
  for (conn& p : ctx.p_conn) {
    if (p.err != 0) core_core(p, EVENT_READ);
  }
}
