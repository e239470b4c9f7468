// Requests: from a client to the server.
#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/protocol/tokens.h"
#include "common/protocol/version.h"
#include "nc_core.h"
#include "nc_message.h"

namespace {

// A client that asks and never reads would fill the proxy's memory with replies. So one that is owed this much is not
// listened to until it has taken half of it.
constexpr std::size_t most_owed = 128;                         // requests
constexpr std::size_t most_owed_bytes = std::size_t{1} << 20;  // of responses

// The same for a client whose server does not read.
constexpr std::size_t most_queued_bytes = std::size_t{4} << 20;

bool owed_too_much(const conn& c) { return c.omsg_q.size() >= most_owed || c.owed_bytes >= most_owed_bytes; }

bool owed_little(const conn& c) { return c.omsg_q.size() <= most_owed / 2 && c.owed_bytes <= most_owed_bytes / 2; }

void hold_back(context& ctx, conn& c) noexcept {
  event_del_in(ctx.evb, c);
  c.held_back = true;
}

}  // namespace

void req_forward(context& ctx, conn& c, const msg_ref& request, server* srv) {
  conn* const s = srv == nullptr ? nullptr : server_conn(ctx, *srv);
  if (s == nullptr) return req_failed(ctx, *request, srv == nullptr ? ECONNREFUSED : errno);
  if (!s->send_ready) request->mhdr.settle(ctx.blocks.block_size());
  req_server_enqueue_imsgq(*s, request);
  ctx.trace.forwarded(s->sd.get(), static_cast<std::int64_t>(request->id));
  ctx.stats.add_message(srv->pool.index, srv->index, stats_server_field::requests, request->mhdr.size());
  core_unsent(ctx, *s);
  if (s->queued_bytes <= most_queued_bytes) return;
  hold_back(ctx, c);
  c.waits_for = s;
}

void req_split(context& ctx, conn& c, const msg_ref& request, std::unique_ptr<split> parts, std::vector<fragment> all) {
  parts->replies.resize(all.size());
  parts->missing = all.size();
  request->parts = std::move(parts);
  ctx.stats.add(pool_of(c).index, stats_pool_field::fragments, static_cast<std::int64_t>(all.size()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const msg_ref part = req_get(ctx, nullptr);
    ctx.trace.fragment(static_cast<std::int64_t>(part->id), static_cast<std::int64_t>(request->id));
    part->kind = request->kind;
    part->parent = request;
    part->frag = i;
    part->mhdr = std::move(all[i].bytes);
    req_forward(ctx, c, part, all[i].srv);
  }
}

namespace {

// A get for each server that has some of the keys. All keys with one server: the request goes there as it is.
void req_fragment(context& ctx, conn& c, const msg_ref& request) {
  struct part {
    server* srv;
    std::string line;
  };
  server_pool& pool = pool_of(c);
  const std::string_view line = request->mhdr.slices().front().bytes;
  const std::string command(line.substr(0, static_cast<std::size_t>(request->keys.data() - line.data())));
  auto wanted = std::make_unique<split>();
  std::vector<part> parts;
  std::string_view rest = request->keys;
  for (std::string_view key = protocol::cut_word(rest); !key.empty(); key = protocol::cut_word(rest)) {
    server* const srv = server_pool_server(ctx, pool, key);
    auto at = std::ranges::find(parts, srv, &part::srv);
    if (at == parts.end()) at = parts.insert(at, {srv, command});
    at->line.append(key).append(" ");
    wanted->keys.push_back({key, static_cast<std::size_t>(at - parts.begin())});
  }
  if (parts.size() == 1) return req_forward(ctx, c, request, parts.front().srv);

  std::vector<fragment> all;
  for (part& p : parts) {
    p.line.back() = '\r';
    all.push_back({p.srv, {}});
    all.back().bytes.append_copy(p.line.append("\n"));
  }
  req_split(ctx, c, request, std::move(wanted), std::move(all));
}

// What the proxy answers itself, on behalf of many servers. "": the request goes to one of them.
std::string_view own_answer(const msg& request) {
  if (!request.refusal.empty()) return request.refusal;
  if (request.kind == protocol::request_kind::local) return protocol::version_reply;
  if (request.kind == protocol::request_kind::general) {
    return "CLIENT_ERROR this is a proxy, and many servers are behind it\r\n";
  }
  return "";
}

// It has said that it will leave, or nobody knows what it says: nobody listens any more. When all that it has asked for
// is answered it is closed.
void stop_listening(context& ctx, conn& c) noexcept {
  c.eof = true;
  event_del_in(ctx.evb, c);
}

}  // namespace

msg* req_recv_next(context& ctx, conn& c) {
  if (c.eof) {
    // It may have closed only its own half, and wait for what it has asked for.
    c.rmsg = nullptr;
    if (c.omsg_q.empty()) c.done = true;
    return nullptr;
  }
  if (owed_too_much(c)) hold_back(ctx, c);
  if (c.held_back) return nullptr;
  if (c.swallow > 0) {
    const std::size_t n = std::min(c.swallow, c.rbuf.unread().size());
    c.rbuf.skip(n);
    c.swallow -= n;
    if (c.swallow > 0) return nullptr;
  }
  if (c.rbuf.unread().empty()) return nullptr;
  if (!c.rmsg) c.rmsg = req_get(ctx, &c);
  return c.rmsg.get();
}

void req_recv_done(context& ctx, conn& c) {
  const msg_ref request = std::move(c.rmsg);
  ctx.trace.command(c.sd.get(), [&] { return first_line(*request); });
  ctx.trace.request(c.sd.get(), static_cast<std::int64_t>(request->id));
  pool_of(c).proto.recv_done(ctx, c, request);
  if (request->kind == protocol::request_kind::quit || request->out_of_step) stop_listening(ctx, c);
}

void memcache_recv_done(context& ctx, conn& c, const msg_ref& request) {
  if (request->kind == protocol::request_kind::quit) return;
  if (request->noreply) {
    request->owner = nullptr;
  } else {
    req_client_enqueue_omsgq(c, request);
  }
  if (const std::string_view answer = own_answer(*request); !answer.empty()) {
    if (!request->refusal.empty()) c.swallow = request->vlen;
    if (request->noreply) return;
    msg_ref response = rsp_get(ctx);
    response->mhdr.append_literal(answer);
    return req_answered(ctx, *request, std::move(response));
  }
  if (request->many_keys) return req_fragment(ctx, c, request);
  req_forward(ctx, c, request, server_pool_server(ctx, pool_of(c), request->key));
}

void req_client_enqueue_omsgq(conn& c, msg_ref request) noexcept {
  if (c.unanswered == nullptr) c.unanswered = request.get();
  c.omsg_q.push(std::move(request));
}

void req_client_dequeue_omsgq(conn& c) noexcept {
  const msg_ref request = c.omsg_q.pop();
  request->owner = nullptr;  // a server that has answered early may still be sent the rest
  c.owed_bytes -= request->peer->mhdr.size();
  assert(!c.omsg_q.empty() || c.owed_bytes == 0);
}

bool req_may_resume(const conn& c) noexcept { return c.held_back && c.waits_for == nullptr && owed_little(c); }

rstatus_t req_resume(context& ctx, conn& c) {
  c.held_back = false;
  event_add_in(ctx.evb, c);
  // What the kernel holds would be an edge again; what rbuf holds would not.
  return c.handlers->recv(ctx, c);
}

void req_relieve(context& ctx, conn& s) noexcept {
  for (conn& c : pool_of(s).c_conn_q) {
    if (c.waits_for != &s) continue;
    c.waits_for = nullptr;
    core_unsent(ctx, c);  // core_flush asks whether it may go on
  }
}

msg* req_send_next(context& ctx, conn& s) {
  if (s.connecting) server_connected(ctx, s);
  s.smsg = s.smsg == nullptr ? s.imsg_q.front() : s.imsg_q.after(*s.smsg);
  if (s.smsg != nullptr && s.greetings > 0 && !s.smsg->greeting) s.smsg = nullptr;
  if (s.smsg != nullptr && s.smsg->since == 0) s.smsg->since = ctx.now;
  return s.smsg;
}

// Its bytes are with the kernel now: nobody reads them again.
void req_send_done(context& ctx, conn& s) {
  const bool was_behind = s.queued_bytes > most_queued_bytes / 2;
  msg_ref request = req_server_dequeue_imsgq(s);
  request->mhdr.let_go();
  if (!request->noreply && !request->answered_early) req_server_enqueue_omsgq(s, std::move(request));
  if (was_behind && s.queued_bytes <= most_queued_bytes / 2) req_relieve(ctx, s);
}

namespace {

// Counts a request that comes to one of a server's queues, or leaves it (`by` is -1).
void count(const conn& s, stats_server_field queue, const msg& request, int by) noexcept {
  const server& srv = server_of(s);
  srv.ctx.stats.add_message(srv.pool.index, srv.index, queue, request.mhdr.size(), by);
}

}  // namespace

void req_server_enqueue_imsgq(conn& s, msg_ref request) noexcept {
  count(s, stats_server_field::in_queue, *request, 1);
  s.queued_bytes += request->mhdr.size();
  s.imsg_q.push(std::move(request));
}

msg_ref req_server_dequeue_imsgq(conn& s) noexcept {
  msg_ref request = s.imsg_q.pop();
  s.queued_bytes -= request->mhdr.size();
  count(s, stats_server_field::in_queue, *request, -1);
  return request;
}

void req_server_enqueue_omsgq(conn& s, msg_ref request) noexcept {
  count(s, stats_server_field::out_queue, *request, 1);
  s.omsg_q.push(std::move(request));
}

msg_ref req_server_dequeue_omsgq(conn& s) noexcept {
  msg_ref request = s.omsg_q.pop();
  count(s, stats_server_field::out_queue, *request, -1);
  return request;
}
