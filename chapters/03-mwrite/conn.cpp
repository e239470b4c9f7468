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
    srv.trace.asleep(sfd, event_flags, init_state);
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
  if (c.reply.write_and_go == conn_closing) net::drop_input(sfd);  // or a reset may overtake the last words
  srv.conns.erase(sfd);
  srv.trace.given_back(sfd);
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
