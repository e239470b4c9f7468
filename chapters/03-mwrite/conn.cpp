// The life of a connection: made, armed, moved from state to state, closed.
#include "conn.h"

#include <algorithm>
#include <cassert>
#include <cstring>
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
  if (rsize_ > data_buffer_size) {  // grown for one long line: an idle client must not keep it
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
    const std::size_t larger = std::max(data_buffer_size, 2 * rsize_);
    auto moved = std::make_unique_for_overwrite<char[]>(larger);
    std::copy_n(rbuf_.get(), rbytes_, moved.get());
    rbuf_ = std::move(moved);
    rsize_ = larger;
  }
  return {rbuf_.get() + rbytes_, rsize_ - rbytes_};
}

conn::conn(server& s, net::unique_fd fd, conn_states init_state, short event_flags)
    : srv(s), sfd(std::move(fd)), state(init_state), ev_flags(event_flags) {
  event_assign(&event, srv.main_base.get(), sfd.get(), event_flags, event_handler, this);
  if (event_add(&event, nullptr) == -1) throw std::runtime_error("event_add");
  srv.stats.curr_conns.add();
  srv.stats.total_conns.add();
  srv.stats.conn_structs.add();
}

conn::~conn() {
  event_del(&event);
  srv.stats.curr_conns.subtract();
  srv.stats.conn_structs.subtract();
}

conn* conn_new(server& srv, net::unique_fd fd, conn_states init_state, short event_flags) noexcept {
  const int sfd = fd.get();
  try {
    auto c = std::make_unique<conn>(srv, std::move(fd), init_state, event_flags);
    srv.trace.asleep(sfd, event_flags);
    return (srv.conns[sfd] = std::move(c)).get();
  } catch (const std::exception& e) {
    srv.trace.problem(sfd, e.what());
    return nullptr;
  }
}

void conn_close(conn& c) noexcept {
  server& srv = c.srv;
  const int sfd = c.sfd.get();
  srv.trace.closed(sfd);
  if (c.write_and_go == conn_closing) net::drop_input(sfd);  // or a reset may overtake the last words
  srv.conns.erase(sfd);
  srv.trace.given_back(sfd);
}

std::string_view state_text(conn_states state) noexcept {
  switch (state) {
    case conn_listening: return "conn_listening";
    case conn_read: return "conn_read";
    case conn_nread: return "conn_nread";
    case conn_write: return "conn_write";
    case conn_mwrite: return "conn_mwrite";
    case conn_closing: return "conn_closing";
  }
  return "?";
}

namespace {

// The machine's map: which state may follow which. A state may always stay as it is.
[[maybe_unused]] bool is_legal(conn_states from, conn_states to) noexcept {
  if (to == conn_closing) return from != conn_listening;
  switch (from) {
    case conn_listening: return false;
    case conn_read: return to == conn_nread || to == conn_write || to == conn_mwrite;
    case conn_nread: return to == conn_read || to == conn_write;
    case conn_write: return to == conn_read;
    case conn_mwrite: return to == conn_write;
    case conn_closing: return false;
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
  event_assign(&c.event, c.srv.main_base.get(), c.sfd.get(), new_flags, event_handler, &c);
  c.ev_flags = new_flags;
  return event_add(&c.event, nullptr) == 0;
}

step wait_for(conn& c, short events, conn_states resume_in) noexcept {
  if (update_event(c, events)) return {resume_in, true};
  c.srv.trace.problem(c.sfd.get(), "couldn't update event");
  return go(conn_closing);
}

void conn_shrink(conn& c) noexcept {
  if (c.ilist.capacity() > item_list_highwat) std::vector<storage::item_ref>().swap(c.ilist);
}

step out_string(conn& c, std::string_view line) noexcept {
  c.srv.trace.reply(c.sfd.get(), line);
  const std::size_t n = std::min(line.size(), c.wbuf.size() - 2);
  std::memcpy(c.wbuf.data(), line.data(), n);
  std::memcpy(c.wbuf.data() + n, "\r\n", 2);
  c.wcurr = {c.wbuf.data(), n + 2};
  c.write_and_go = conn_read;
  return go(conn_write);
}

step close_after(conn& c, std::string_view line) {
  if (line.empty()) return go(conn_closing);
  const step next = out_string(c, line);
  c.write_and_go = conn_closing;
  return next;
}

step out_text(conn& c, std::string text) noexcept {
  c.write_and_free = std::move(text);
  c.wcurr = c.write_and_free;
  c.write_and_go = conn_read;
  return go(conn_write);
}
