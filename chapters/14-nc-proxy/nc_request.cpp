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

bool is_behind(const server_pool& pool) noexcept {
  return std::ranges::any_of(pool.servers, [](const auto& srv) {
    return std::ranges::any_of(srv->conns, [](const conn& s) { return s.queued_bytes > most_queued_bytes / 2; });
  });
}

void hold_back(context& ctx, conn& c) noexcept {
  event_del_in(ctx.evb, c);
  c.held_back = true;
}

// Counts a request, and its bytes: all there ever were, or those in one of its server's queues.
void count(const conn& s, const msg& request, stats_server_field requests, stats_server_field bytes, std::int64_t by) {
  const server& srv = *static_cast<server*>(s.owner);
  srv.ctx.stats.add(srv.pool.index, srv.index, requests, by);
  srv.ctx.stats.add(srv.pool.index, srv.index, bytes, by * static_cast<std::int64_t>(request.mhdr.size()));
}

// Gives a request to a server. A key decides which; whoever has none may ask any.
void req_forward(context& ctx, conn& c, const msg_ref& request, server* srv) {
  conn* const s = srv == nullptr ? nullptr : server_conn(ctx, *srv);
  if (s == nullptr) return req_failed(ctx, *request, srv == nullptr ? ECONNREFUSED : errno);
  request->since = ctx.now;
  s->enqueue_inq(*s, request);
  count(*s, *request, stats_server_field::requests, stats_server_field::request_bytes, 1);
  core_unsent(ctx, *s);
  if (s->queued_bytes > most_queued_bytes) hold_back(ctx, c);
}

// A get for each server that has some of the keys. All keys with one server: the request goes there as it is.
void req_fragment(context& ctx, conn& c, const msg_ref& request) {
  struct part {
    server* srv;
    std::string line;
  };
  server_pool& pool = *static_cast<server_pool*>(c.owner);
  std::vector<part> parts;
  protocol::tokens words(first_line(*request));
  for (std::string_view key = words.next(); !key.empty(); key = words.next()) {
    server* const srv = server_pool_server(ctx, pool, key);
    auto at = std::ranges::find(parts, srv, &part::srv);
    if (at == parts.end()) at = parts.insert(at, {srv, std::string(words[0])});
    at->line += " " + std::string(key);
    request->frag_seq.push_back(static_cast<std::size_t>(at - parts.begin()));
  }
  if (parts.size() == 1) return req_forward(ctx, c, request, parts.front().srv);

  request->replies.resize(parts.size());
  request->missing = parts.size();
  ctx.stats.add(pool.index, stats_pool_field::fragments, static_cast<std::int64_t>(parts.size()));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const msg_ref fragment = std::make_shared<msg>(true, nullptr);
    fragment->kind = request->kind;
    fragment->parent = request;
    fragment->frag = i;
    fragment->mhdr.append_copy(parts[i].line + "\r\n");
    req_forward(ctx, c, fragment, parts[i].srv);
  }
}

// What the proxy answers itself, on behalf of many servers. "": the request goes to one of them.
std::string_view own_answer(const msg& request) {
  if (!request.refusal.empty()) return request.refusal;
  if (request.kind == protocol::request_kind::general && protocol::tokens(first_line(request))[0] != "version") {
    return "CLIENT_ERROR this is a proxy, and many servers are behind it\r\n";
  }
  if (request.kind == protocol::request_kind::retrieval && request.key.empty()) return "ERROR\r\n";
  return "";
}

}  // namespace

msg* req_recv_next(context& ctx, conn& c) {
  if (c.eof) {
    // It may have closed only its own half, and wait for what it has asked for.
    c.rmsg.reset();
    if (!c.active(c)) c.done = true;
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
  if (!c.rmsg) c.rmsg = std::make_shared<msg>(true, &c);
  return c.rmsg.get();
}

void req_recv_done(context& ctx, conn& c) {
  const msg_ref request = std::move(c.rmsg);
  if (request->kind == protocol::request_kind::quit) {
    c.eof = true;
    event_del_in(ctx.evb, c);  // whatever it says now, nobody listens
    return;
  }
  if (!request->noreply) c.enqueue_outq(c, request);
  if (const std::string_view answer = own_answer(*request); !answer.empty()) {
    if (!request->refusal.empty()) c.swallow = request->vlen;
    if (request->noreply) return;
    msg_ref response = std::make_shared<msg>(false, nullptr);
    response->mhdr.append_literal(answer);
    return req_answered(ctx, *request, std::move(response));
  }
  if (request->many_keys) return req_fragment(ctx, c, request);
  req_forward(ctx, c, request, server_pool_server(ctx, *static_cast<server_pool*>(c.owner), request->key));
}

void req_client_enqueue_omsgq(conn& c, msg_ref request) { c.omsg_q.push_back(std::move(request)); }

void req_client_dequeue_omsgq(conn& c) {
  c.owed_bytes -= c.omsg_q.front()->peer->mhdr.size();
  c.omsg_q.pop_front();
  assert(!c.omsg_q.empty() || c.owed_bytes == 0);
}

bool req_may_resume(const conn& c) noexcept {
  return c.held_back && owed_little(c) && !is_behind(*static_cast<server_pool*>(c.owner));
}

rstatus_t req_resume(context& ctx, conn& c) {
  c.held_back = false;
  event_add_in(ctx.evb, c);
  // What the kernel holds would be an edge again; what rbuf holds would not.
  return c.recv(ctx, c);
}

void req_relieve(context& ctx, server_pool& pool) noexcept {
  for (conn& c : pool.conns) {
    if (c.held_back) core_unsent(ctx, c);  // core_flush asks whether it may go on
  }
}

msg* req_send_next(context& ctx, conn& s) {
  if (s.connecting) server_connected(ctx, s);
  s.smsg = s.smsg ? std::next(*s.smsg) : s.imsg_q.begin();
  return *s.smsg == s.imsg_q.end() ? nullptr : (*s.smsg)->get();
}

// Into the next queue before it leaves this one: should there be no memory for that, it is not lost.
void req_send_done(context& ctx, conn& s) {
  const bool behind = s.queued_bytes > most_queued_bytes / 2;
  const msg& request = *s.imsg_q.front();
  if (!request.noreply && !request.answered_early) s.enqueue_outq(s, s.imsg_q.front());
  s.dequeue_inq(s);
  if (behind && s.queued_bytes <= most_queued_bytes / 2) req_relieve(ctx, static_cast<server*>(s.owner)->pool);
}

void req_server_enqueue_imsgq(conn& s, msg_ref request) {
  s.imsg_q.push_back(std::move(request));
  s.queued_bytes += s.imsg_q.back()->mhdr.size();
  count(s, *s.imsg_q.back(), stats_server_field::in_queue, stats_server_field::in_queue_bytes, 1);
}

void req_server_dequeue_imsgq(conn& s) {
  count(s, *s.imsg_q.front(), stats_server_field::in_queue, stats_server_field::in_queue_bytes, -1);
  s.queued_bytes -= s.imsg_q.front()->mhdr.size();
  s.imsg_q.pop_front();
}

void req_server_enqueue_omsgq(conn& s, msg_ref request) {
  s.omsg_q.push_back(std::move(request));
  count(s, *s.omsg_q.back(), stats_server_field::out_queue, stats_server_field::out_queue_bytes, 1);
}

void req_server_dequeue_omsgq(conn& s) {
  count(s, *s.omsg_q.front(), stats_server_field::out_queue, stats_server_field::out_queue_bytes, -1);
  s.omsg_q.pop_front();
}
