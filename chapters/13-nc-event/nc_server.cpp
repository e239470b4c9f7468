// The server behind.
#include "nc_server.h"

#include <cerrno>

#include "nc_core.h"
#include "nc_message.h"

server::server(server_pool& p, const std::string& address)
    : conn_owner(p.ctx), pool(p), addr(net::resolve_tcp(address)) {}

server_pool::server_pool(context& c, const std::string& address) : conn_owner(c), srv(*this, address) {}

void server_ref(conn& s, conn_owner& owner) {
  s.owner = &owner;
  conn_move(s, owner.conns);
}

void server_unref(context& ctx, conn& s) { conn_move(s, ctx.closed); }

bool server_active(const conn& s) { return !s.imsg_q.empty() || !s.omsg_q.empty(); }

namespace {

// Begins to connect, and does not wait: until the socket can be written to, requests gather in imsg_q.
bool server_connect(context& ctx, server& srv, conn& s) {
  s.sd.reset(socket(srv.addr.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s.sd) return false;
  net::set_nodelay(s.sd.get());  // requests go out at once; those of a turn go together
  if (!event_add_conn(ctx.evb, s)) return false;
  s.connecting = connect(s.sd.get(), reinterpret_cast<const sockaddr*>(&srv.addr.storage), srv.addr.length) != 0;
  return !s.connecting || errno == EINPROGRESS;
}

}  // namespace

conn* server_conn(context& ctx, server& srv) {
  if (!srv.conns.empty()) return &srv.conns.front();
  conn& s = conn_get(srv, conn_role::server);
  if (server_connect(ctx, srv, s)) return &s;
  const int why = errno;
  conn_put(ctx, s);
  errno = why;
  return nullptr;
}

void server_connected(context&, conn& s) { s.connecting = false; }

void server_close(context& ctx, conn& s) noexcept {
  // An end in the middle of what was promised.
  if (s.err == 0) s.err = ECONNRESET;
  conn_put(ctx, s);
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
  req_relieve(ctx, static_cast<server*>(s.owner)->pool);
}
