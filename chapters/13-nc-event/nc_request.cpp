// Requests: from a client to the server.
#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

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
  return std::ranges::any_of(pool.srv.conns, [](const conn& s) { return s.queued_bytes > most_queued_bytes / 2; });
}

void hold_back(context& ctx, conn& c) noexcept {
  event_del_in(ctx.evb, c);
  c.held_back = true;
}

void req_forward(context& ctx, conn& c, const msg_ref& request) {
  conn* const s = server_conn(ctx, static_cast<server_pool*>(c.owner)->srv);
  if (s == nullptr) return req_failed(ctx, *request, errno);
  s->enqueue_inq(*s, request);
  core_unsent(ctx, *s);
  if (s->queued_bytes > most_queued_bytes) hold_back(ctx, c);
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
  ctx.trace.command(c.sd.get(), first_line(*request));
  if (request->kind == protocol::request_kind::quit) {
    c.eof = true;
    event_del_in(ctx.evb, c);  // whatever it says now, nobody listens
    return;
  }
  if (!request->noreply) c.enqueue_outq(c, request);
  if (request->refusal.empty()) return req_forward(ctx, c, request);
  c.swallow = request->vlen;
  if (request->noreply) return;
  msg_ref response = std::make_shared<msg>(false, nullptr);
  response->mhdr.append_literal(request->refusal);
  req_answered(ctx, *request, std::move(response));
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
}

void req_server_dequeue_imsgq(conn& s) {
  s.queued_bytes -= s.imsg_q.front()->mhdr.size();
  s.imsg_q.pop_front();
}

void req_server_enqueue_omsgq(conn& s, msg_ref request) { s.omsg_q.push_back(std::move(request)); }

void req_server_dequeue_omsgq(conn& s) { s.omsg_q.pop_front(); }
