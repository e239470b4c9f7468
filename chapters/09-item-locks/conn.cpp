// The life of a connection: made, armed, moved from state to state, closed.
#include "conn.h"

#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "common/net/sockets.h"
#include "drive_machine.h"
#include "server.h"

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
  srv.trace.asleep(sfd, event_flags, init_state);
  return made;
}

void conn_close(conn& c) noexcept {
  assert_in_thread(*c.thread);
  server& srv = c.srv;
  const int sfd = c.sfd.get();
  srv.trace.closed(sfd);
  if (c.reply.write_and_go == conn_closing) net::drop_input(sfd);  // or a reset may overtake the last words
  event_del(&c.event);
  c.request.item.reset();
  c.reply.clear();
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

bool update_event(conn& c, short new_flags) noexcept {
  assert_in_thread(*c.thread);
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

void conn_shrink(conn& c) noexcept { c.reply.shrink(); }
