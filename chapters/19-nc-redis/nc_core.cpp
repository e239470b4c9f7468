// The loop, and what every event goes through.
#include "nc_core.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "common/net/sockets.h"
#include "nc_proxy.h"
#include "nc_signal.h"

using nutcracker::log_level;

namespace {

// Memory that is not there is this connection's misfortune, not the proxy's.
rstatus_t core_call(context& ctx, conn& c, rstatus_t (*handler)(context&, conn&)) noexcept try {
  return handler(ctx, c);
} catch (const std::bad_alloc&) {
  c.err = ENOMEM;
  return NC_ERROR;
}

rstatus_t core_recv(context& ctx, conn& c) noexcept { return core_call(ctx, c, c.handlers->recv); }

rstatus_t core_send(context& ctx, conn& c) noexcept { return core_call(ctx, c, c.handlers->send); }

void core_error(context& ctx, conn& c) noexcept {
  socklen_t size = sizeof c.err;
  if (getsockopt(c.sd.get(), SOL_SOCKET, SO_ERROR, &c.err, &size) == -1) c.err = errno;
  core_close(ctx, c);
}

// What this turn has left to send. The list may grow while we take from it: a server that is lost has clients who must
// hear of it. Sending makes room, too, and a client that was held back for lack of it may go on; but not here, or it
// could keep us for as long as it likes. Its socket can be written to, so we ask to be told, and it goes on in the next
// turn. A server's time begins now, however long the turn has taken so far.
void core_flush(context& ctx) noexcept {
  ctx.now = msec_now();
  while (ctx.unsent != nullptr) {
    conn& c = *ctx.unsent;
    ctx.unsent = std::exchange(c.next_unsent, nullptr);
    c.unsent = false;
    if (!c.sd) continue;
    if (!c.connecting && (core_send(ctx, c) != NC_OK || c.done)) {
      core_close(ctx, c);
    } else if (c.role == conn_role::server) {
      server_watch(ctx, c);
    } else if (req_may_resume(c)) {
      event_add_out(ctx.evb, c);
    }
  }
}

// Ends connections to servers that have kept a request waiting for too long. It is judged by the time at which
// epoll_wait returned, and when all that was ready then has been read: if we are slow, that is not the server's fault.
void core_timeout(context& ctx) noexcept {
  while (!ctx.alarms.empty() && ctx.alarms.begin()->first <= ctx.now) {
    conn& s = *ctx.alarms.begin()->second;
    server_unwatch(ctx, s);
    if (server_is_late(ctx, s)) {
      s.err = ETIMEDOUT;
      core_close(ctx, s);
    } else {
      server_watch(ctx, s);
    }
  }
}

// For how long nothing has to be done: until the next alarm, but not for so long that the statistics grow old.
int core_patience(const context& ctx) noexcept {
  const msec interval = ctx.opts.stats_interval.count();
  if (ctx.alarms.empty()) return static_cast<int>(interval);
  return static_cast<int>(std::clamp(ctx.alarms.begin()->first - ctx.now, msec{0}, interval));
}

std::vector<stats_names> names_of(const std::vector<nutcracker::pool_conf>& conf) {
  std::vector<stats_names> names;
  for (const nutcracker::pool_conf& pool : conf) {
    stats_names& n = names.emplace_back(stats_names{pool.name, {}});
    for (const nutcracker::server_conf& s : pool.servers) n.servers.push_back(s.name);
  }
  return names;
}

// So many messages of those that are gone keep their memory.
constexpr std::size_t most_spare = 1024;

}  // namespace

context::context(const nutcracker::options& o, const std::vector<nutcracker::pool_conf>& conf)
    : opts(o),
      log(o.verbosity, o.output),
      trace(0, o.trace),
      stats(o.stats_addr, o.stats_port, o.stats_interval, names_of(conf)),
      evb(event_base_create(EVENT_SIZE, core_core)),
      now(msec_now()),
      blocks(o.mbuf_size),
      messages(most_spare),
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
  ctx.trace.asleep(ctx.evb.ep.get(), trace_read);
  const int nsd = event_wait(ctx.evb, core_patience(ctx), ctx.now);
  if (nsd == -1) return NC_ERROR;
  if (nsd < EVENT_SIZE) core_timeout(ctx);  // else more may be ready, an answer among it
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
  ctx.trace.woken(c.sd.get(), event_readiness(events));
  c.events = events;
  if ((events & EVENT_ERR) != 0) return core_error(ctx, c);
  if ((events & EVENT_READ) != 0 && (core_recv(ctx, c) != NC_OK || c.done)) return core_close(ctx, c);
  if ((events & EVENT_WRITE) == 0) return;
  c.send_ready = true;
  if (core_send(ctx, c) != NC_OK || (req_may_resume(c) && core_call(ctx, c, req_resume) != NC_OK) || c.done) {
    core_close(ctx, c);
  }
}

void core_unsent(context& ctx, conn& c) noexcept {
  if (std::exchange(c.unsent, true)) return;
  c.next_unsent = std::exchange(ctx.unsent, &c);
}

void core_close(context& ctx, conn& c) noexcept {
  constexpr std::array letters{'p', 'c', 's', '-'};  // of the roles
  const char letter = letters[static_cast<std::size_t>(c.role)];
  ctx.log.line(log_level::info, "close ", std::string_view(&letter, 1), " ", c.sd.get(), c.err == 0 ? "" : ": ",
               c.err == 0 ? "" : strerrordesc_np(c.err));
  ctx.trace.closed(c.sd.get());
  event_del_conn(ctx.evb, c);
  c.handlers->close(ctx, c);
}
