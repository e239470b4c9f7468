// The life of a connection: made, armed, moved from state to state, closed.
#include "conn.h"

#include <algorithm>
#include <cassert>
#include <climits>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>

#include "common/net/sockets.h"
#include "server.h"

void read_buffer::consume(std::size_t n) noexcept {
  rcurr_ += n;
  rbytes_ -= n;
  searched_ = 0;
  if (rbytes_ > 0) return;
  rcurr_ = 0;
  if (rsize_ > first_size_) {  // grown for one long line: an idle client must not keep it
    rbuf_.reset();
    rsize_ = 0;
  }
}

std::span<char> read_buffer::room() {
  if (rcurr_ > 0) {
    std::memmove(rbuf_.get(), rbuf_.get() + rcurr_, rbytes_);
    rcurr_ = 0;
  }
  if (rbytes_ == rsize_) {
    const std::size_t larger = std::max(first_size_, 2 * rsize_);
    auto moved = std::make_unique_for_overwrite<char[]>(larger);
    std::copy_n(rbuf_.get(), rbytes_, moved.get());
    rbuf_ = std::move(moved);
    rsize_ = larger;
  }
  return {rbuf_.get() + rbytes_, rsize_ - rbytes_};
}

conn::conn(server& s) : srv(s) { srv.stats.conn_structs.add(); }

// Only when the server ends can this be a connection that is still open. Its event goes first: a descriptor must not be
// closed while libevent watches it.
conn::~conn() {
  if (sfd) event_del(&event);
  srv.stats.conn_structs.subtract();
}

conn* conn_new(libevent_thread& thread, net::unique_fd fd, conn_states init_state, short event_flags,
               std::size_t read_buffer_size, network_transport transport) noexcept {
  server& srv = thread.srv;
  const int sfd = fd.get();
  conn* made = nullptr;
  try {
    const std::scoped_lock hold(srv.conns_lock);
    std::unique_ptr<conn>& place = srv.conns.at(static_cast<std::size_t>(sfd));
    if (!place) place = std::make_unique<conn>(srv);
    conn& c = *place;
    event_assign(&c.event, thread.base.get(), sfd, event_flags, event_handler, &c);
    if (event_add(&c.event, nullptr) == -1) throw std::runtime_error("event_add");
    c.ev_flags = event_flags;
    c.sfd = std::move(fd);
    c.thread = &thread;
    c.state = init_state;
    c.transport = transport;
    c.rbuf.set_first_size(read_buffer_size);
    srv.stats.curr_conns.add();
    srv.stats.total_conns.add();
    made = &c;
  } catch (const std::exception& e) {
    srv.trace.problem(sfd, e.what());
    return nullptr;
  }
  srv.trace.asleep(sfd, event_flags);
  return made;
}

void conn_close(conn& c) noexcept {
  server& srv = c.srv;
  const int sfd = c.sfd.get();
  srv.trace.closed(sfd);
  if (c.write_and_go == conn_closing) net::drop_input(sfd);  // or a reset may overtake the last words
  event_del(&c.event);
  c.item.reset();
  c.ilist.clear();
  c.msglist.clear();
  std::string().swap(c.write_and_free);
  c.rbuf.consume(c.rbuf.unread().size());
  conn_shrink(c);
  conn_set_state(c, conn_closed);
  srv.stats.curr_conns.subtract();
  net::unique_fd closing;
  {
    // Whoever gets this number next takes the same lock in conn_new, and so sees what this thread wrote.
    const std::scoped_lock hand_over(srv.conns_lock);
    closing = std::move(c.sfd);
  }
  closing.reset();
  srv.trace.given_back(sfd);
}

std::string_view state_text(conn_states state) noexcept {
  switch (state) {
    case conn_listening: return "conn_listening";
    case conn_new_cmd: return "conn_new_cmd";
    case conn_waiting: return "conn_waiting";
    case conn_read: return "conn_read";
    case conn_parse_cmd: return "conn_parse_cmd";
    case conn_nread: return "conn_nread";
    case conn_swallow: return "conn_swallow";
    case conn_write: return "conn_write";
    case conn_mwrite: return "conn_mwrite";
    case conn_closing: return "conn_closing";
    case conn_closed: return "conn_closed";
  }
  return "?";
}

namespace {

// The machine's map: which state may follow which. A state may always stay as it is.
[[maybe_unused]] bool is_legal(conn_states from, conn_states to) noexcept {
  if (to == conn_closing) return from != conn_listening && from != conn_closed;
  switch (from) {
    case conn_listening: return false;
    case conn_new_cmd: return to == conn_waiting || to == conn_parse_cmd;
    case conn_waiting: return to == conn_read;
    case conn_read: return to == conn_parse_cmd || to == conn_waiting;
    case conn_parse_cmd:
      return to == conn_new_cmd || to == conn_waiting || to == conn_nread || to == conn_swallow || to == conn_write ||
             to == conn_mwrite;
    case conn_nread: return to == conn_new_cmd || to == conn_write;
    case conn_swallow: return to == conn_new_cmd;
    case conn_write: return to == conn_new_cmd || to == conn_swallow;
    case conn_mwrite: return to == conn_new_cmd;
    case conn_closing: return to == conn_closed;
    case conn_closed: return false;
  }
  return false;
}

}  // namespace

void conn_set_state(conn& c, conn_states state) noexcept {
  if (state == c.state) return;
  assert(is_legal(c.state, state));
  const conn_states before = c.state;
  c.state = state;
  c.srv.trace.state(c.sfd.get(), before, state);
}

bool update_event(conn& c, short new_flags) noexcept {
  if (c.ev_flags == new_flags) return true;
  if (event_del(&c.event) == -1) return false;
  event_assign(&c.event, c.thread->base.get(), c.sfd.get(), new_flags, event_handler, &c);
  c.ev_flags = new_flags;
  return event_add(&c.event, nullptr) == 0;
}

step wait_for(conn& c, short events, conn_states resume_in) noexcept {
  if (update_event(c, events)) return {resume_in, true};
  c.srv.trace.problem(c.sfd.get(), "couldn't update event");
  return go(conn_closing);
}

namespace {

template <typename T>
void shrink(std::vector<T>& list, std::size_t highwat) noexcept {
  if (list.capacity() > highwat) std::vector<T>().swap(list);
}

}  // namespace

void conn_shrink(conn& c) noexcept {
  shrink(c.ilist, item_list_highwat);
  shrink(c.iov, iov_list_highwat);
  shrink(c.msglist, msg_list_highwat);
  shrink(c.suffixlist, item_list_highwat);
}

void add_msghdr(conn& c) { c.msglist.push_back({c.iov.size(), 0}); }

void add_iov(conn& c, std::string_view bytes) {
  if (c.msglist.back().count == IOV_MAX) add_msghdr(c);
  c.iov.push_back({const_cast<char*>(bytes.data()), bytes.size()});  // sendmsg only reads
  ++c.msglist.back().count;
}

void begin_reply(conn& c) {
  c.iov.clear();
  c.msglist.clear();
  c.msgcurr = 0;
  c.write_and_go = conn_new_cmd;
  add_msghdr(c);
}

step out_string(conn& c, std::string_view line) {
  c.srv.trace.reply(c.sfd.get(), line);
  const std::size_t n = std::min(line.size(), c.wbuf.size() - 2);
  std::memcpy(c.wbuf.data(), line.data(), n);
  std::memcpy(c.wbuf.data() + n, "\r\n", 2);
  begin_reply(c);
  add_iov(c, {c.wbuf.data(), n + 2});
  return go(conn_write);
}

step close_after(conn& c, std::string_view line) {
  if (line.empty()) return go(conn_closing);
  const step next = out_string(c, line);
  c.write_and_go = conn_closing;
  return next;
}

step out_text(conn& c, std::string text) {
  c.write_and_free = std::move(text);
  begin_reply(c);
  add_iov(c, c.write_and_free);
  return go(conn_write);
}
