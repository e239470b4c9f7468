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

#include "common/protocol/tokens.h"
#include "nc_core.h"
#include "nc_message.h"

namespace {

// What a client has asked for at once comes, whether it reads or not, and has to be kept: up to here.
constexpr std::size_t most_debt = std::size_t{256} << 20;

// Whether there is nobody who takes the response to the oldest request.
bool is_unwanted(const conn& s) {
  if (s.omsg_q.empty()) return false;
  const conn* const c = client_of(*s.omsg_q.front());
  return c == nullptr || c->owed_bytes + s.rmsg->mhdr.size() > most_debt;
}

// Whose response it is that has come: the oldest request's. A server that refuses a value says so before it has come
// whole, and reads the rest to throw it away: then it is the request's that is being sent, and it is sent to its end
// all the same. nullptr: nobody has asked.
msg_ref take_request(conn& s) {
  msg_ref request;
  if (!s.omsg_q.empty()) {
    request = s.omsg_q.front();
    s.dequeue_outq(s);
  } else if (!s.imsg_q.empty() && s.imsg_q.front()->sent > 0 && !s.imsg_q.front()->noreply) {
    if (!std::exchange(s.imsg_q.front()->answered_early, true)) request = s.imsg_q.front();
  }
  return request;
}

}  // namespace

msg* rsp_recv_next(context&, conn& s) {
  if (s.eof) {
    s.done = true;
    return nullptr;
  }
  if (!s.rmsg) s.rmsg = std::make_shared<msg>(false, nullptr);
  if (is_unwanted(s)) s.rmsg->mhdr.forget();
  return s.rmsg.get();
}

void rsp_recv_done(context& ctx, conn& s) {
  msg_ref response = std::move(s.rmsg);
  const msg_ref request = take_request(s);
  if (request == nullptr) {
    // Whatever it is, what comes after it cannot be trusted.
    s.err = EPROTO;
    s.done = true;
    return;
  }
  server_ok(s);
  if (response->mhdr.forgotten()) return req_failed(ctx, *request, ENOBUFS);
  const server& srv = *static_cast<server*>(s.owner);
  ctx.stats.add(srv.pool.index, srv.index, stats_server_field::responses);
  ctx.stats.add(srv.pool.index, srv.index, stats_server_field::response_bytes,
                static_cast<std::int64_t>(response->mhdr.size()));
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

// The response to a get that was split: what each key's server has found, in the order in which the client has asked.
// (The original does not look at the keys: after a miss the next item of the same server moves up.) A server that has
// answered something else has answered for all.
msg_ref rsp_join(const msg& request) {
  std::vector<partial> parts;
  for (const msg_ref& reply : request.replies) {
    if (!reply->complete_get) return reply;
    parts.emplace_back(*reply);
  }
  msg_ref joined = std::make_shared<msg>(false, nullptr);
  protocol::tokens words(first_line(request));
  for (const std::size_t frag : request.frag_seq) {
    partial& from = parts[frag];
    if (!from.has(words.next())) continue;
    from.bytes.move_to(joined->mhdr, from.items.front());
    from.items = from.items.subspan(1);
  }
  joined->mhdr.append_literal("END\r\n");
  return joined;
}

// For want of memory it will miss a response, and would take the next one for it: it is closed at the end of the turn.
void hang_up(context& ctx, conn& c) noexcept {
  c.err = ENOMEM;
  c.done = true;
  core_unsent(ctx, c);
}

// Until all are there, each counts as owed to the client; then what they have become does.
void req_fragment_answered(context& ctx, conn& c, msg& fragment, msg_ref response) noexcept try {
  msg& request = *fragment.parent;
  request.replies[fragment.frag] = std::move(response);
  if (--request.missing > 0) return;
  msg_ref joined = rsp_join(request);
  for (const msg_ref& reply : request.replies) c.owed_bytes -= reply->mhdr.size();
  request.replies.clear();
  req_answered(ctx, request, std::move(joined));
} catch (const std::bad_alloc&) {
  hang_up(ctx, c);
}

}  // namespace

void req_answered(context& ctx, msg& request, msg_ref response) noexcept {
  conn* const c = client_of(request);
  if (c == nullptr) return;
  c->owed_bytes += response->mhdr.size();
  if (request.parent) return req_fragment_answered(ctx, *c, request, std::move(response));
  if (response->failure) ctx.stats.add(static_cast<server_pool*>(c->owner)->index, stats_pool_field::forward_error);
  request.peer = std::move(response);
  if (c->omsg_q.front().get() == &request) core_unsent(ctx, *c);
}

void req_failed(context& ctx, msg& request, int err) noexcept try {
  if (request.noreply || request.answered_early) return;
  msg_ref response = std::make_shared<msg>(false, nullptr);
  response->failure = true;
  response->mhdr.append_copy("SERVER_ERROR " + std::string(strerrordesc_np(err)) + "\r\n");
  req_answered(ctx, request, std::move(response));
} catch (const std::bad_alloc&) {
  if (conn* const c = client_of(request)) hang_up(ctx, *c);
}

msg* rsp_send_next(context&, conn& c) {
  c.smsg = c.smsg ? std::next(*c.smsg) : c.omsg_q.begin();
  if (*c.smsg == c.omsg_q.end()) {
    // All that it will ever ask for is answered.
    if (c.eof && c.omsg_q.empty()) c.done = true;
    return nullptr;
  }
  return (**c.smsg)->peer.get();
}

void rsp_send_done(context&, conn& c) { c.dequeue_outq(c); }
