// Responses: from the server to a client.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nc_core.h"
#include "nc_message.h"
#include "nc_redis.h"

namespace {

// What a client has asked for at once comes, whether it reads or not, and has to be kept: up to here.
constexpr std::size_t most_debt = std::size_t{256} << 20;

// Whether there is nobody who takes the response to the oldest request.
bool is_unwanted(const conn& s) {
  if (s.omsg_q.empty()) return false;
  const conn* const c = client_of(*s.omsg_q.front());
  return c == nullptr || c->owed_bytes + s.rmsg->mhdr.size() > most_debt;
}

// Which request a response belongs to: the oldest. A server that refuses a value says so before it has come whole, and
// reads the rest to throw it away: then it is the request that is being sent, and it is sent to its end all the same.
// nullptr: nobody has asked.
msg_ref take_request(conn& s) {
  if (!s.omsg_q.empty()) return req_server_dequeue_omsgq(s);
  msg* const sending = s.imsg_q.front();
  if (sending == nullptr || sending->sent == 0 || sending->noreply) return nullptr;
  if (std::exchange(sending->answered_early, true)) return nullptr;
  return s.imsg_q.front_share();
}

}  // namespace

msg* rsp_recv_next(context& ctx, conn& s) {
  if (s.eof) {
    s.done = true;
    return nullptr;
  }
  if (s.rbuf.unread().empty()) return nullptr;
  if (!s.rmsg) {
    s.rmsg = rsp_get(ctx);
    s.rmsg->of_fragment = !s.omsg_q.empty() && s.omsg_q.front()->parent;
  }
  if (is_unwanted(s)) s.rmsg->mhdr.forget();
  return s.rmsg.get();
}

void rsp_recv_done(context& ctx, conn& s) {
  msg_ref response = std::move(s.rmsg);
  const msg_ref request = take_request(s);
  if (!request) {
    // Whatever it is, what comes after it cannot be trusted.
    s.err = EPROTO;
    s.done = true;
    return;
  }
  ctx.trace.response(s.sd.get(), static_cast<std::int64_t>(request->id));
  server_ok(s);
  if (request->greeting) return redis_greeted(ctx, s, *response);
  if (response->mhdr.forgotten()) return req_failed(ctx, *request, ENOBUFS);
  const server& srv = server_of(s);
  ctx.stats.add_message(srv.pool.index, srv.index, stats_server_field::responses, response->mhdr.size());
  req_answered(ctx, *request, std::move(response));
}

namespace {

// One of several responses that are to be one.
struct partial {
  explicit partial(const msg& reply) : bytes(reply.mhdr), items(reply.items) {}

  // Whether this is what the server has to say next. A header line lies in one slice, for it was read in one piece.
  [[nodiscard]] bool has(std::string_view key) const noexcept {
    if (items.empty()) return false;
    std::string_view header = bytes.front();
    header.remove_prefix(std::string_view("VALUE ").size());
    return header.starts_with(key) && header.substr(key.size()).starts_with(' ');
  }

  mbuf_reader bytes;
  std::span<const std::size_t> items;  // those that are left
};

}  // namespace

// The response to a get that was split: what each key's server has found, in the order in which the client has asked.
// (The original does not look at the keys: after a miss the next item of the same server moves up.) A server that has
// answered something else has answered for all.
msg_ref memcache_join(context& ctx, const msg& request) {
  std::vector<partial> parts;
  for (const msg_ref& reply : request.parts->replies) {
    if (!reply->complete_get) return reply;
    parts.emplace_back(*reply);
  }
  msg_ref joined = rsp_get(ctx);
  for (const split::wanted& wanted : request.parts->keys) {
    partial& from = parts[wanted.frag];
    if (!from.has(wanted.key)) continue;
    from.bytes.move_to(joined->mhdr, from.items.front());
    from.items = from.items.subspan(1);
  }
  joined->mhdr.append_literal("END\r\n");
  return joined;
}

namespace {

// For want of memory it will miss a response, and would take the next one for it: it is closed at the end of the turn.
void hang_up(context& ctx, conn& c) noexcept {
  c.err = ENOMEM;
  c.done = true;
  core_unsent(ctx, c);
}

// Until all are there, each counts as owed to the client; then what they have become does.
void req_fragment_answered(context& ctx, conn& c, msg& fragment, msg_ref response) noexcept try {
  msg& request = *fragment.parent;
  split& parts = *request.parts;
  parts.replies[fragment.frag] = std::move(response);
  if (--parts.missing > 0) return;
  msg_ref joined = pool_of(c).proto.join(ctx, request);
  for (const msg_ref& reply : parts.replies) c.owed_bytes -= reply->mhdr.size();
  request.parts.reset();
  req_answered(ctx, request, std::move(joined));
} catch (const std::bad_alloc&) {
  hang_up(ctx, c);
}

}  // namespace

void req_answered(context& ctx, msg& request, msg_ref response) noexcept try {
  conn* const c = client_of(request);
  if (c == nullptr) return;
  c->owed_bytes += response->mhdr.size();
  // It waits for another one: in as much memory as it needs.
  if (&request != c->unanswered) response->mhdr.settle(ctx.blocks.block_size());
  if (request.parent) return req_fragment_answered(ctx, *c, request, std::move(response));
  if (response->failure) ctx.stats.add(pool_of(*c).index, stats_pool_field::forward_error);
  request.peer = std::move(response);
  if (&request != c->unanswered) return;
  while (c->unanswered != nullptr && c->unanswered->peer) c->unanswered = c->omsg_q.after(*c->unanswered);
  core_unsent(ctx, *c);
} catch (const std::bad_alloc&) {
  if (conn* const c = client_of(request)) hang_up(ctx, *c);
}

void req_failed(context& ctx, msg& request, int err) noexcept try {
  if (client_of(request) == nullptr || request.answered_early) return;
  msg_ref response = rsp_get(ctx);
  response->failure = true;
  response->mhdr.append_copy(std::string(pool_of(*client_of(request)).proto.error) + strerrordesc_np(err) + "\r\n");
  req_answered(ctx, request, std::move(response));
} catch (const std::bad_alloc&) {
  if (conn* const c = client_of(request)) hang_up(ctx, *c);
}

msg* rsp_send_next(context&, conn& c) {
  c.smsg = c.smsg == nullptr ? c.omsg_q.front() : c.omsg_q.after(*c.smsg);
  if (c.smsg != nullptr) return c.smsg->peer.get();
  // All that it will ever ask for is answered.
  if (c.eof && c.omsg_q.empty()) c.done = true;
  return nullptr;
}

void rsp_send_done(context& ctx, conn& c) {
  const msg& request = *c.omsg_q.front();
  ctx.trace.reply(c.sd.get(), [&] { return first_line(*request.peer); });
  ctx.trace.answered(c.sd.get(), static_cast<std::int64_t>(request.id));
  req_client_dequeue_omsgq(c);
}
