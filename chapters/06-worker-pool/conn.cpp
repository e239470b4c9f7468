// The life of a connection: made, armed, moved from state to state, closed.
#include "conn.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include "common/net/sockets.h"
#include "drive_machine.h"
#include "server.h"

void reply::clear() noexcept {
  ilist.clear();
  iptr = {};
  wcurr = {};
  write_and_free.clear();
  write_and_free.shrink_to_fit();
}

conn::conn(libevent_thread& t) : thread(t), srv(t.srv) { srv.stats.conn_structs.add(); }

// Only when the server ends can this be a connection that is still open. Its event goes first: a descriptor must not be
// closed while libevent watches it.
conn::~conn() {
  if (sfd) event_del(&event);
  srv.stats.conn_structs.subtract();
}

conn* conn_new(libevent_thread& thread, net::unique_fd fd, conn_states init_state, short event_flags) noexcept {
  server& srv = thread.srv;
  const int sfd = fd.get();
  try {
    if (thread.freeconns.empty()) {
      thread.freeconns.reserve(2 * thread.conns.size() + 1);  // room for all to come back: conn_close must not fail
      thread.freeconns.push_back(std::make_unique<conn>(thread));
    }
    conn& c = *thread.freeconns.back();
    thread.conns.try_emplace(sfd);  // all memory first: from here on nothing fails but event_add

    event_assign(&c.event, thread.base.get(), sfd, event_flags, event_handler, &c);
    if (event_add(&c.event, nullptr) == -1) throw std::runtime_error("event_add");
    c.ev_flags = event_flags;
    c.sfd = std::move(fd);
    c.state = init_state;

    thread.conns[sfd] = std::move(thread.freeconns.back());
    thread.freeconns.pop_back();
    srv.stats.curr_conns.add();
    srv.stats.total_conns.add();
    srv.trace.asleep(sfd, event_flags, init_state);
    return &c;
  } catch (const std::exception& e) {
    srv.trace.problem(sfd, e.what());
    thread.conns.erase(sfd);
    return nullptr;
  }
}

void conn_close(conn& c) noexcept {
  assert_in_thread(c.thread);
  server& srv = c.srv;
  const int sfd = c.sfd.get();
  srv.trace.closed(sfd);
  if (c.reply.write_and_go == conn_closing) net::drop_input(sfd);  // or a reset may overtake the last words
  event_del(&c.event);
  c.request.item.reset();
  c.reply.clear();
  c.rbuf.consume(c.rbuf.unread().size());
  conn_shrink(c);

  auto closed = c.thread.conns.extract(sfd);
  c.sfd.reset();
  srv.trace.given_back(sfd);
  srv.stats.curr_conns.subtract();
  c.thread.freeconns.push_back(std::move(closed.mapped()));
}

bool update_event(conn& c, short new_flags) noexcept {
  assert_in_thread(c.thread);
  if (c.ev_flags == new_flags) return true;
  if (event_del(&c.event) == -1) return false;
  event_assign(&c.event, c.thread.base.get(), c.sfd.get(), new_flags, event_handler, &c);
  c.ev_flags = new_flags;
  return event_add(&c.event, nullptr) == 0;
}

step wait_for(conn& c, short events, conn_states resume_in) noexcept {
  if (update_event(c, events)) return {resume_in, true};
  c.srv.trace.problem(c.sfd.get(), "couldn't update event");
  return go(conn_closing);
}

void conn_shrink(conn& c) noexcept {
  if (c.reply.ilist.capacity() > item_list_highwat) std::vector<storage::item_ref>().swap(c.reply.ilist);
}

step out_string(conn& c, std::string_view line) noexcept {
  c.srv.trace.reply(c.sfd.get(), line);
  const std::size_t n = std::min(line.size(), c.reply.wbuf.size() - 2);
  std::memcpy(c.reply.wbuf.data(), line.data(), n);
  std::memcpy(c.reply.wbuf.data() + n, "\r\n", 2);
  c.reply.wcurr = {c.reply.wbuf.data(), n + 2};
  c.reply.write_and_go = conn_read;
  return go(conn_write);
}

step close_after(conn& c, std::string_view line) {
  if (line.empty()) return go(conn_closing);
  const step next = out_string(c, line);
  c.reply.write_and_go = conn_closing;
  return next;
}

step out_text(conn& c, std::string text) noexcept {
  c.reply.write_and_free = std::move(text);
  c.reply.wcurr = c.reply.write_and_free;
  c.reply.write_and_go = conn_read;
  return go(conn_write);
}
