// Responses: from the server to a client.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "nc_core.h"
#include "nc_message.h"

namespace {

// What a client has asked for at once comes, whether it reads or not, and has to be kept: up to here.
constexpr std::size_t most_debt = std::size_t{256} << 20;

// Whether there is nobody who takes the response to the oldest request.
bool is_unwanted(const conn& s) {
  if (s.omsg_q.empty()) return false;
  const conn* const c = s.omsg_q.front()->owner;
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
  if (!s.rmsg) s.rmsg = rsp_get(ctx);
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
  if (response->mhdr.forgotten()) return req_failed(ctx, *request, ENOBUFS);
  req_answered(ctx, *request, std::move(response));
}

namespace {

// For want of memory it will miss a response, and would take the next one for it: it is closed at the end of the turn.
void hang_up(context& ctx, conn& c) noexcept {
  c.err = ENOMEM;
  c.done = true;
  core_unsent(ctx, c);
}

}  // namespace

void req_answered(context& ctx, msg& request, msg_ref response) noexcept {
  conn* const c = request.owner;
  if (c == nullptr) return;
  c->owed_bytes += response->mhdr.size();
  request.peer = std::move(response);
  if (c->omsg_q.front() == &request) core_unsent(ctx, *c);
}

void req_failed(context& ctx, msg& request, int err) noexcept try {
  if (request.owner == nullptr || request.answered_early) return;
  msg_ref response = rsp_get(ctx);
  response->mhdr.append_copy("SERVER_ERROR " + std::string(strerrordesc_np(err)) + "\r\n");
  req_answered(ctx, request, std::move(response));
} catch (const std::bad_alloc&) {
  if (request.owner != nullptr) hang_up(ctx, *request.owner);
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
