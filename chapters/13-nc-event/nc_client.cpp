// The role that serves a client.
#include "nc_client.h"

#include "nc_core.h"
#include "nc_message.h"

void client_ref(conn& c, conn_owner& owner) {
  c.owner = &owner;
  conn_move(c, owner.conns);
}

void client_unref(context& ctx, conn& c) { conn_move(c, ctx.closed); }

bool client_active(const conn& c) { return !c.omsg_q.empty(); }

// Its requests may be with a server, and their replies must be read all the same, or the next client would get them.
// The server's queues hold the requests; nobody waits for them any more.
void client_close(context& ctx, conn& c) noexcept {
  for (const msg_ref& request : c.omsg_q) request->owner = nullptr;
  conn_put(ctx, c);
}
