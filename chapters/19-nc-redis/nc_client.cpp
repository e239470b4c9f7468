// The role that serves a client.
#include "nc_client.h"

#include "common/net/sockets.h"
#include "nc_core.h"

// Its requests may be with a server, and their replies must be read all the same, or the next client would get them.
// The server's queues hold the requests; nobody waits for them any more.
void client_close(context& ctx, conn& c) noexcept {
  const std::size_t pool = pool_of(c).index;
  ctx.stats.add(pool, stats_pool_field::client_connections, -1);
  ctx.stats.add(pool, c.err == 0 ? stats_pool_field::client_eof : stats_pool_field::client_err);
  for (msg* request = c.omsg_q.front(); request != nullptr; request = c.omsg_q.after(*request))
    request->owner = nullptr;
  if (c.recv_ready) net::drop_input(c.sd.get());  // or it might never hear our last words
  conn_put(ctx, c);
}
