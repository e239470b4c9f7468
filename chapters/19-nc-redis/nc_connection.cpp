// Connections: the handlers of each role, and the two system calls that all roles share.
#include "nc_connection.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <iterator>

#include "nc_client.h"
#include "nc_core.h"
#include "nc_message.h"
#include "nc_proxy.h"
#include "nc_server.h"
#include "nc_signal.h"

namespace {

constexpr conn_handlers proxy_handlers{.recv = proxy_recv, .close = proxy_close};

constexpr conn_handlers client_handlers{
    .recv = msg_recv,
    .recv_next = req_recv_next,
    .recv_done = req_recv_done,
    .send = msg_send,
    .send_next = rsp_send_next,
    .send_done = rsp_send_done,
    .close = client_close,
};

constexpr conn_handlers server_handlers{
    .recv = msg_recv,
    .recv_next = rsp_recv_next,
    .recv_done = rsp_recv_done,
    .send = msg_send,
    .send_next = req_send_next,
    .send_done = req_send_done,
    .close = server_close,
};

constexpr conn_handlers signal_handlers{.recv = signal_recv, .close = signal_close};

// In the order of conn_role.
constexpr std::array<const conn_handlers*, 4> handlers_of{
    &proxy_handlers,
    &client_handlers,
    &server_handlers,
    &signal_handlers,
};

}  // namespace

conn::conn(conn_role r, conn_owner& o)
    : handlers(handlers_of[static_cast<std::size_t>(r)]),
      role(r),
      owner(&o),
      rbuf(o.ctx.blocks),
      imsg_q(in_server_queue),
      omsg_q(r == conn_role::client ? in_client_queue : in_server_queue) {}

conn::~conn() = default;

conn& conn_get(conn_owner& owner, conn_list& list, conn_role role) {
  conn& c = list.emplace_back(role, owner);
  c.home = &list;
  c.self = std::prev(list.end());
  if (role != conn_role::signals) owner.ctx.stats.opened();
  return c;
}

context& conn_to_ctx(const conn& c) noexcept { return c.owner->ctx; }

server& server_of(const conn& s) noexcept { return static_cast<server&>(*s.owner); }

server_pool& pool_of(const conn& c) noexcept {
  return c.role == conn_role::server ? server_of(c).pool : static_cast<server_pool&>(*c.owner);
}

void conn_move(conn& c, conn_list& to) noexcept {
  to.splice(to.end(), *c.home, c.self);
  c.home = &to;
}

void conn_put(context& ctx, conn& c) noexcept {
  conn_move(c, ctx.closed);
  c.sd.reset();
  if (c.role != conn_role::signals) ctx.stats.closed();
}

// The edge-triggered contract: we hear of input once, and must read until there is no more. A read that brings less
// than it had room for has found the end: whatever comes later is an edge again. So most of the time one read is
// enough.
ssize_t conn_recv(context& ctx, conn& c, std::span<char> room) noexcept {
  for (;;) {
    const ssize_t n = read(c.sd.get(), room.data(), room.size());
    ctx.trace.call(c.sd.get(), "read", n);
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

ssize_t conn_sendv(context& ctx, conn& c, std::span<const iovec> iov) noexcept {
  std::size_t wanted = 0;
  for (const iovec& piece : iov) wanted += piece.iov_len;
  for (;;) {
    const ssize_t n = writev(c.sd.get(), iov.data(), static_cast<int>(iov.size()));
    ctx.trace.call(c.sd.get(), "writev", n);
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
