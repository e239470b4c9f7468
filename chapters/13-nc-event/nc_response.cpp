// Responses: from the server to a client.
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
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
  if (c->omsg_q.front().get() == &request) core_unsent(ctx, *c);
}

void req_failed(context& ctx, msg& request, int err) noexcept try {
  if (request.noreply || request.answered_early) return;
  msg_ref response = std::make_shared<msg>(false, nullptr);
  response->mhdr.append_copy("SERVER_ERROR " + std::string(strerrordesc_np(err)) + "\r\n");
  req_answered(ctx, request, std::move(response));
} catch (const std::bad_alloc&) {
  if (request.owner != nullptr) hang_up(ctx, *request.owner);
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

void rsp_send_done(context& ctx, conn& c) {
  ctx.trace.reply(c.sd.get(), first_line(*c.omsg_q.front()->peer));
  c.dequeue_outq(c);
}
