// The state machine. An event says that a socket is ready; the connection's state says what to do about it.
//
//     libevent -> event_handler -> drive_machine -> one function per state -> the next state, or back to libevent
//
#include "drive_machine.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "common/net/sockets.h"
#include "common/protocol/text.h"
#include "conn.h"
#include "server.h"

namespace {

// conn_listening: one client per event. If another one waits, the event fires again: it is level-triggered.
step accept_conn(conn& c) noexcept {
  net::unique_fd client(accept4(c.sfd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  c.srv.trace.call(c.sfd.get(), "accept4", client.get());
  if (!client) {
    if (!net::would_block()) c.srv.trace.problem(c.sfd.get(), "accept()", errno);
    return {conn_listening, true};
  }
  c.srv.trace.opened(client.get());
  dispatch_conn_new(c.srv, std::move(client), conn_new_cmd, EV_READ | EV_PERSIST, data_buffer_size, tcp_transport);
  return {conn_listening, true};
}

// The header line of a gets ends in the cas number, which the item does not have as text.
std::string_view cas_suffix(conn& c, const storage::item& it) {
  std::array<char, 24>& text = c.reply.suffixlist.emplace_back();
  text[0] = ' ';
  char* const end = std::to_chars(&text[1], text.end() - 2, it.cas).ptr;
  std::memcpy(end, "\r\n", 2);
  return {text.data(), static_cast<std::size_t>(end + 2 - text.data())};
}

// "get": the reply is a list of places. In the item, key, flags, length and value stand in the reply's order.
step send_items_found(conn& c, bool with_cas) {
  begin_reply(c);
  c.reply.suffixlist.clear();
  if (with_cas) c.reply.suffixlist.reserve(c.reply.ilist.size());  // so that no entry moves while its place is in iov
  for (const storage::item_ref& it : c.reply.ilist) {
    c.srv.trace.item(c.sfd.get(), it->key());
    add_iov(c, "VALUE ");
    if (with_cas) {
      add_iov(c, it->key_and_suffix().substr(0, it->key_and_suffix().size() - 2));
      add_iov(c, cas_suffix(c, *it));
      add_iov(c, std::as_const(*it).data());
    } else {
      add_iov(c, it->key_suffix_and_data());
    }
  }
  add_iov(c, "END\r\n");
  c.srv.trace.reply(c.sfd.get(), "END");
  return go(conn_mwrite);
}

// "set" and its kin: the item is there, its value is still on its way.
step await_value(conn& c, protocol::outcome& asked) noexcept {
  c.request.item = std::move(asked.item);
  c.request.ritem = c.request.item->data().data();
  c.request.rlbytes = c.request.item->nbytes;
  c.request.cmd = asked.mode;
  c.request.cas = asked.cas;
  c.request.noreply = asked.noreply;
  return go(conn_nread);
}

// A value that the storage will not take is on its way all the same: say why, then let it pass.
step refuse_value(conn& c, const protocol::outcome& asked) {
  c.request.sbytes = asked.swallow_bytes;
  if (asked.line.empty()) return go(conn_swallow);
  const step next = out_string(c, asked.line);
  c.reply.write_and_go = conn_swallow;
  return next;
}

// Does what a command asked for: here an outcome of the protocol becomes a state of the connection.
step act_on(conn& c, protocol::outcome& asked) {
  using enum protocol::outcome::kind;
  switch (asked.what) {
    case reply_line: return out_string(c, asked.line);
    case reply_text: return out_text(c, std::move(asked.text));
    case send_items: return send_items_found(c, asked.with_cas);
    case want_value: return await_value(c, asked);
    case skip_value: return refuse_value(c, asked);
    case nothing: return go(conn_new_cmd);
    case hang_up: return close_after(c, asked.line);
  }
  return go(conn_closing);
}

// One command line, without its line end.
step process_command(conn& c, std::string_view line) {
  c.srv.trace.command(c.sfd.get(), line);
  protocol::process_command(c.thread->env, line, c.thread->outcome, c.reply.ilist);
  return act_on(c, c.thread->outcome);
}

// The value is whole: store it.
step complete_nread(conn& c) {
  protocol::complete_value(c.thread->env, std::move(c.request.item), c.request.cmd, c.request.cas, c.request.noreply,
                           c.thread->outcome);
  return act_on(c, c.thread->outcome);
}

// conn_new_cmd: the next command, unless this connection has had its share of this event. Then it is the others' turn.
step next_command(conn& c, int& nreqs) noexcept {
  const bool more_is_here = !c.rbuf.unread().empty();
  if (!more_is_here) conn_shrink(c);  // it may be idle for long
  if (nreqs-- > 0) return go(more_is_here ? conn_parse_cmd : conn_waiting);
  c.srv.traffic.conn_yields.add();
  // With input in rbuf the kernel may have nothing left to tell us about, and EV_READ might never fire again. So ask
  // for EV_WRITE: a socket can nearly always be written to.
  return wait_for(c, (more_is_here ? EV_WRITE : EV_READ) | EV_PERSIST, conn_new_cmd);
}

// conn_parse_cmd: a command, if the buffer holds a whole one.
step try_read_command(conn& c) {
  const std::string_view input = c.rbuf.unread();
  const auto end = protocol::find_line(input, c.rbuf.begin_search());
  if (!end) return go(conn_waiting);
  const step next = process_command(c, input.substr(0, end->line));
  c.rbuf.consume(end->consumed);
  return next;
}

// read() from the client. Like read(): how many bytes came, 0 at the end of the stream, -1 with errno.
ssize_t receive(conn& c, std::span<char> room) noexcept {
  const ssize_t res = read(c.sfd.get(), room.data(), room.size());
  c.srv.trace.call(c.sfd.get(), "read", res);
  if (res > 0) c.srv.traffic.bytes_read.add(static_cast<std::uint64_t>(res));
  return res;
}

// conn_read: more bytes, if the network has some.
step try_read_network(conn& c) {
  const ssize_t res = receive(c, c.rbuf.room());
  if (res > 0) {
    c.rbuf.filled(static_cast<std::size_t>(res));
    return go(conn_parse_cmd);
  }
  if (res == -1 && net::would_block()) return go(conn_waiting);
  // 0: the client will send no more. Any other error ends the connection too.
  return go(conn_closing);
}

// conn_nread: rlbytes bytes into the item; those that came along with the command are in rbuf and go first.
step read_value(conn& c) {
  if (c.request.rlbytes == 0) return complete_nread(c);
  if (const std::string_view here = c.rbuf.unread(); !here.empty()) {
    // Not one buffer but two: rbuf is the connection's, ritem points into the item.
    const std::size_t tocopy = std::min(here.size(), c.request.rlbytes);
    std::memcpy(c.request.ritem, here.data(), tocopy);
    c.rbuf.consume(tocopy);
    c.request.ritem += tocopy;
    c.request.rlbytes -= tocopy;
    return go(conn_nread);
  }
  const ssize_t res = receive(c, {c.request.ritem, c.request.rlbytes});
  if (res > 0) {
    c.request.ritem += res;
    c.request.rlbytes -= static_cast<std::size_t>(res);
    return go(conn_nread);
  }
  if (res == -1 && net::would_block()) return wait_for(c, EV_READ | EV_PERSIST, conn_nread);
  return go(conn_closing);
}

// conn_swallow: takes sbytes bytes as conn_nread does, first from rbuf and then from the socket, and drops them.
step swallow_value(conn& c) {
  if (c.request.sbytes == 0) return go(conn_new_cmd);
  if (const std::string_view here = c.rbuf.unread(); !here.empty()) {
    const std::size_t n = std::min(here.size(), c.request.sbytes);
    c.rbuf.consume(n);
    c.request.sbytes -= n;
    return go(conn_swallow);
  }
  const std::span<char> room = c.rbuf.room();
  const ssize_t res = receive(c, room.first(std::min(room.size(), c.request.sbytes)));
  if (res > 0) {
    c.request.sbytes -= static_cast<std::size_t>(res);
    return go(conn_swallow);
  }
  if (res == -1 && net::would_block()) return wait_for(c, EV_READ | EV_PERSIST, conn_swallow);
  return go(conn_closing);
}

}  // namespace

void conn_set_state(conn& c, conn_states state) noexcept {
  if (state == c.state) return;
  assert(is_legal(c.state, state));
  const conn_states before = c.state;
  c.state = state;
  c.srv.trace.state(c.sfd.get(), before, state);
}

// On return the connection is armed, or closed.
void drive_machine(conn& c) {
  assert_in_thread(*c.thread);
  int nreqs = c.srv.settings.reqs_per_event;
  for (;;) {
    step s = go(conn_closing);  // if it were none of these
    switch (c.state) {
      case conn_listening: s = accept_conn(c); break;
      case conn_new_cmd: s = next_command(c, nreqs); break;
      case conn_waiting: s = wait_for(c, EV_READ | EV_PERSIST, conn_read); break;
      case conn_read: s = try_read_network(c); break;
      case conn_parse_cmd: s = try_read_command(c); break;
      case conn_nread: s = read_value(c); break;
      case conn_swallow: s = swallow_value(c); break;
      case conn_write: s = transmit(c); break;
      case conn_mwrite: s = transmit(c); break;
      case conn_closing: conn_close(c); return;
      case conn_closed: std::abort();
    }
    conn_set_state(c, s.next);
    if (s.stop) return c.srv.trace.asleep(c.sfd.get(), c.ev_flags);
  }
}

// Nothing may unwind through libevent's C frames: a client for whom memory runs out is closed, and the server goes on.
void event_handler(evutil_socket_t, short which, void* arg) noexcept {
  conn& c = *static_cast<conn*>(arg);
  c.srv.trace.woken(c.sfd.get(), which);
  try {
    drive_machine(c);
  } catch (const std::bad_alloc&) {
    c.srv.trace.problem(c.sfd.get(), "out of memory");
    conn_set_state(c, conn_closing);
    conn_close(c);
  }
}
