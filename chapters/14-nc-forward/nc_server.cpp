// The server behind.
#include "nc_server.h"

#include <sys/socket.h>

#include <cerrno>

#include "nc_core.h"
#include "nc_message.h"

server::server(server_pool& p, const std::string& address)
    : conn_owner(p.ctx), pool(p), name(address), addr(net::resolve_tcp(address)) {}

server_pool::server_pool(context& c, const std::string& address) : conn_owner(c), srv(*this, address) {}

namespace {

// Begins to connect, and does not wait: until the socket can be written to, requests gather in imsg_q.
bool server_connect(context& ctx, server& srv, conn& s) {
  s.connecting = true;
  s.send_ready = false;
  s.sd.reset(socket(srv.addr.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s.sd) return false;
  ctx.trace.connecting(s.sd.get(), srv.name);
  net::set_nodelay(s.sd.get());  // requests go out at once; those of a turn go together
  if (!event_add_conn(ctx.evb, s)) return false;
  const auto* const where = reinterpret_cast<const sockaddr*>(&srv.addr.storage);
  if (connect(s.sd.get(), where, srv.addr.length) == 0) server_connected(ctx, s);
  return !s.connecting || errno == EINPROGRESS;
}

}  // namespace

conn* server_conn(context& ctx, server& srv) {
  if (!srv.s_conn_q.empty()) return &srv.s_conn_q.front();
  conn& s = conn_get(srv, srv.s_conn_q, conn_role::server);
  if (server_connect(ctx, srv, s)) return &s;
  const int why = errno;
  conn_put(ctx, s);
  errno = why;
  return nullptr;
}

void server_connected(context& ctx, conn& s) {
  s.connecting = false;
  s.send_ready = true;
  ctx.trace.connected(s.sd.get(), server_of(s).name);
}

void server_close(context& ctx, conn& s) noexcept {
  // An end in the middle of what was promised.
  if (s.err == 0 && (!s.omsg_q.empty() || !s.imsg_q.empty())) s.err = ECONNRESET;
  conn_put(ctx, s);
  while (!s.omsg_q.empty()) req_failed(ctx, *req_server_dequeue_omsgq(s), s.err);
  while (!s.imsg_q.empty()) req_failed(ctx, *req_server_dequeue_imsgq(s), s.err);
  req_relieve(ctx, s);
}
