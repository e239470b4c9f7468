// The loop, and what every event goes through.
#include "nc_core.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "common/net/sockets.h"
#include "nc_message.h"
#include "nc_proxy.h"
#include "nc_signal.h"

using nutcracker::log_level;

namespace {

// Memory that is not there is this connection's misfortune, not the proxy's.
rstatus_t core_recv(context& ctx, conn& c) noexcept {
  try {
    return c.recv(ctx, c);
  } catch (const std::bad_alloc&) {
    c.err = ENOMEM;
    return NC_ERROR;
  }
}

rstatus_t core_send(context& ctx, conn& c) noexcept {
  try {
    return c.send(ctx, c);
  } catch (const std::bad_alloc&) {
    c.err = ENOMEM;
    return NC_ERROR;
  }
}

rstatus_t core_resume(context& ctx, conn& c) noexcept {
  try {
    return req_may_resume(c) ? req_resume(ctx, c) : NC_OK;
  } catch (const std::bad_alloc&) {
    c.err = ENOMEM;
    return NC_ERROR;
  }
}

void core_error(context& ctx, conn& c) noexcept {
  socklen_t size = sizeof c.err;
  if (getsockopt(c.sd.get(), SOL_SOCKET, SO_ERROR, &c.err, &size) == -1) c.err = errno;
  core_close(ctx, c);
}

// What this turn has left to send. The list may grow while we walk along it: a server that is lost has clients who must
// hear of it. Sending makes room, too, and a client that was held back for lack of it may go on; but not here, or it
// could keep us for as long as it likes. Its socket can be written to, so we ask to be told, and it goes on in the next
// turn.
void core_flush(context& ctx) noexcept {
  while (ctx.unsent != nullptr) {
    conn& c = *ctx.unsent;
    ctx.unsent = std::exchange(c.next_unsent, nullptr);
    c.unsent = false;
    if (!c.sd || c.connecting) continue;
    if (core_send(ctx, c) != NC_OK || c.done) {
      core_close(ctx, c);
    } else if (req_may_resume(c)) {
      event_add_out(ctx.evb, c);
    }
  }
}

msec clock_now() noexcept {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

// Ends connections to servers that have kept a request waiting for too long, and sleeps next time no longer than the
// next one has left. All requests of a pool may take equally long, so the oldest of each connection tells for all of
// them.
void core_timeout(context& ctx) noexcept {
  msec next = ctx.now + ctx.opts.stats_interval.count();
  for (const auto& pool : ctx.pools) {
    if (!pool->conf.timeout) continue;
    for (const auto& srv : pool->servers) {
      for (auto at = srv->conns.begin(); at != srv->conns.end();) {
        conn& s = *at++;
        const msg_queue& waiting = s.omsg_q.empty() ? s.imsg_q : s.omsg_q;
        if (waiting.empty()) continue;
        const msec due = waiting.front()->since + pool->conf.timeout->count();
        if (due <= ctx.now) {
          s.err = ETIMEDOUT;
          core_close(ctx, s);
        } else {
          next = std::min(next, due);
        }
      }
    }
  }
  ctx.timeout = static_cast<int>(next - ctx.now);
}

std::vector<stats_names> names_of(const std::vector<nutcracker::pool_conf>& conf) {
  std::vector<stats_names> names;
  for (const nutcracker::pool_conf& pool : conf) {
    stats_names& n = names.emplace_back(stats_names{pool.name, {}});
    for (const nutcracker::server_conf& s : pool.servers) n.servers.push_back(s.name);
  }
  return names;
}

}  // namespace

context::context(const nutcracker::options& o, const std::vector<nutcracker::pool_conf>& conf)
    : opts(o),
      log(o.verbosity, o.output),
      stats(o.stats_addr, o.stats_port, o.stats_interval, names_of(conf)),
      evb(event_base_create(EVENT_SIZE, core_core)),
      now(clock_now()),
      timeout(static_cast<int>(o.stats_interval.count())),
      own(*this) {
  for (const nutcracker::pool_conf& pool : conf)
    pools.push_back(std::make_unique<server_pool>(*this, pool, pools.size()));
}

void core_start(context& ctx) {
  signal_init(ctx);
  std::vector<int> descriptors;
  for (const auto& pool : ctx.pools) {
    proxy_each_init(ctx, *pool, descriptors);
    if (pool->conf.preconnect) server_pool_preconnect(ctx, *pool);
  }
  ctx.stats.start();
  if (const char* path = std::getenv("MEMCACHED_PORT_FILENAME")) net::write_port_file(path, descriptors);
}

rstatus_t core_loop(context& ctx) noexcept {
  if (event_wait(ctx.evb, ctx.timeout) == -1) return NC_ERROR;
  ctx.now = clock_now();
  core_timeout(ctx);
  core_flush(ctx);
  ctx.stats.swap();
  if (!ctx.closed.empty()) {
    ctx.closed.clear();
    proxy_accept_again(ctx);
  }
  return NC_OK;
}

void core_core(conn& c, std::uint32_t events) noexcept {
  context& ctx = conn_to_ctx(c);
  ctx.now = clock_now();
  c.events = events;
  if ((events & EVENT_ERR) != 0) return core_error(ctx, c);
  if ((events & EVENT_READ) != 0 && (core_recv(ctx, c) != NC_OK || c.done)) return core_close(ctx, c);
  if ((events & EVENT_WRITE) == 0) return;
  if (core_send(ctx, c) != NC_OK || core_resume(ctx, c) != NC_OK || c.done) core_close(ctx, c);
}

void core_unsent(context& ctx, conn& c) noexcept {
  if (c.unsent) return;
  c.unsent = true;
  (ctx.unsent == nullptr ? ctx.unsent : ctx.last_unsent->next_unsent) = &c;
  ctx.last_unsent = &c;
}

void core_close(context& ctx, conn& c) noexcept {
  ctx.log.line(log_level::info, "close ", c.sd.get(), c.err == 0 ? "" : ": ", c.err == 0 ? "" : strerrordesc_np(c.err));
  event_del_conn(ctx.evb, c);
  c.close(ctx, c);
}
