// Connections: the handlers of each role, and the two system calls that all roles share.
#include "nc_connection.h"

#include <cerrno>
#include <cstddef>
#include <utility>

#include "nc_client.h"
#include "nc_core.h"
#include "nc_event.h"
#include "nc_message.h"
#include "nc_proxy.h"
#include "nc_server.h"
#include "nc_signal.h"

namespace {

constexpr conn_handlers proxy_handlers{
    .recv = proxy_recv,
    .close = proxy_close,
    .ref = proxy_ref,
    .unref = proxy_unref,
};

constexpr conn_handlers client_handlers{
    .recv = msg_recv,
    .recv_next = req_recv_next,
    .recv_done = req_recv_done,
    .send = msg_send,
    .send_next = rsp_send_next,
    .send_done = rsp_send_done,
    .close = client_close,
    .active = client_active,
    .ref = client_ref,
    .unref = client_unref,
    .enqueue_outq = req_client_enqueue_omsgq,
    .dequeue_outq = req_client_dequeue_omsgq,
};

constexpr conn_handlers server_handlers{
    .recv = msg_recv,
    .recv_next = rsp_recv_next,
    .recv_done = rsp_recv_done,
    .send = msg_send,
    .send_next = req_send_next,
    .send_done = req_send_done,
    .close = server_close,
    .active = server_active,
    .ref = server_ref,
    .unref = server_unref,
    .enqueue_inq = req_server_enqueue_imsgq,
    .dequeue_inq = req_server_dequeue_imsgq,
    .enqueue_outq = req_server_enqueue_omsgq,
    .dequeue_outq = req_server_dequeue_omsgq,
};

constexpr conn_handlers signal_handlers{
    .recv = signal_recv,
    .close = signal_close,
    .ref = proxy_ref,
    .unref = proxy_unref,
};

conn& make(conn_owner& owner, conn_role role, const conn_handlers& handlers) {
  conn_list fresh;
  conn& c = fresh.emplace_back(role, handlers, owner.ctx.opts.mbuf_size);
  c.home = &fresh;
  c.self = fresh.begin();
  c.ref(c, owner);
  if (role != conn_role::signals) owner.ctx.stats.opened();
  return c;
}

}  // namespace

conn& conn_get(conn_owner& owner, conn_role role) {
  return make(owner, role, role == conn_role::client ? client_handlers : server_handlers);
}

conn& conn_get_proxy(conn_owner& owner) { return make(owner, conn_role::proxy, proxy_handlers); }

conn& conn_get_signals(conn_owner& owner) { return make(owner, conn_role::signals, signal_handlers); }

void conn_move(conn& c, conn_list& to) noexcept {
  to.splice(to.end(), *c.home, c.self);
  c.home = &to;
}

void conn_put(context& ctx, conn& c) noexcept {
  c.unref(ctx, c);
  c.sd.reset();
  if (c.role != conn_role::signals) ctx.stats.closed();
}

// The edge-triggered contract: we hear of input once, and must read until there is no more. A read that brings less
// than it had room for has found the end: whatever comes later is an edge again. So most of the time one read is
// enough.
ssize_t conn_recv(conn& c, std::span<char> room) noexcept {
  for (;;) {
    const ssize_t n = read(c.sd.get(), room.data(), room.size());
    if (n > 0) {
      const bool drained = static_cast<std::size_t>(n) < room.size() && (c.events & EVENT_END) == 0;
      if (drained) c.recv_ready = false;
      return n;
    }
    if (n == 0) {
      c.recv_ready = false;
      c.eof = true;
      return 0;
    }
    if (errno == EINTR) continue;
    c.recv_ready = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    c.err = errno;
    return -1;
  }
}

ssize_t conn_sendv(conn& c, std::span<const iovec> iov) noexcept {
  std::size_t wanted = 0;
  for (const iovec& piece : iov) wanted += piece.iov_len;
  for (;;) {
    const ssize_t n = writev(c.sd.get(), iov.data(), static_cast<int>(iov.size()));
    if (n >= 0) {
      if (static_cast<std::size_t>(n) < wanted) c.send_ready = false;
      return n;
    }
    if (errno == EINTR) continue;
    c.send_ready = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    c.err = errno;
    return -1;
  }
}
