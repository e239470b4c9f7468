// Responses: from the server to a client.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
  if (s.omsg_q.empty()) {
    // Nobody has asked. Whatever it is, what comes after it cannot be trusted.
    s.err = EPROTO;
    s.done = true;
    return;
  }
  const msg_ref request = s.omsg_q.front();
  s.dequeue_outq(s);
  server_ok(s);
  const server& srv = *static_cast<server*>(s.owner);
  ctx.stats.add(srv.pool.index, srv.index, stats_server_field::responses);
  ctx.stats.add(srv.pool.index, srv.index, stats_server_field::response_bytes,
                static_cast<std::int64_t>(response->mhdr.size()));
  if (response->mhdr.forgotten()) return req_failed(ctx, *request, ENOBUFS);
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

void req_fragment_answered(context& ctx, msg& fragment, msg_ref response) {
  msg& request = *fragment.parent;
  request.replies[fragment.frag] = std::move(response);
  if (--request.missing > 0 || request.owner == nullptr) return;
  msg_ref joined = rsp_join(request);
  request.replies.clear();
  req_answered(ctx, request, std::move(joined));
}

}  // namespace

void req_answered(context& ctx, msg& request, msg_ref response) {
  if (request.parent) return req_fragment_answered(ctx, request, std::move(response));
  request.done = true;
  conn* const c = request.owner;
  if (c == nullptr) return;
  c->owed_bytes += response->mhdr.size();
  request.peer = std::move(response);
  if (c->omsg_q.front().get() == &request) core_unsent(ctx, *c);
}

void req_failed(context& ctx, msg& request, int err) {
  if (request.noreply) return;
  msg_ref response = std::make_shared<msg>(false, nullptr);
  response->mhdr.append_copy("SERVER_ERROR " + std::string(strerrordesc_np(err)) + "\r\n");
  req_answered(ctx, request, std::move(response));
}

msg* rsp_send_next(context&, conn& c) {
  c.smsg = c.smsg ? std::next(*c.smsg) : c.omsg_q.begin();
  if (*c.smsg == c.omsg_q.end()) {
    // All that it will ever ask for is answered.
    if (c.eof && c.omsg_q.empty()) c.done = true;
    return nullptr;
  }
  const msg& request = ***c.smsg;
  return request.done ? request.peer.get() : nullptr;
}

void rsp_send_done(context&, conn& c) { c.dequeue_outq(c); }
