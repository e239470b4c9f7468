// The state machine. An event says that a socket is ready; the connection's state says what to do about it.
//
//     libevent -> event_handler -> drive_machine -> one function per state -> the next state, or back to libevent
//
#include "drive_machine.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/net/sockets.h"
#include "common/protocol/text.h"
#include "conn.h"
#include "server.h"

namespace {

// conn_listening: one client waits in the kernel's queue. Another one, if there is one, fires the event again.
step accept_conn(conn& c) noexcept {
  net::unique_fd client(accept4(c.sfd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  c.srv.trace.call(c.sfd.get(), "accept4", client.get());
  if (!client) {
    // EAGAIN is no error: the client may have gone again between the event and here.
    if (!net::would_block()) c.srv.trace.problem(c.sfd.get(), "accept()", errno);
    return {conn_listening, true};
  }
  c.srv.trace.opened(client.get());
  conn_new(c.srv, std::move(client), conn_read, EV_READ | EV_PERSIST);
  return {conn_listening, true};
}

// The line "VALUE <key> <flags> <bytes>", and for gets the item's cas number before its end.
void append_header(std::string& text, const storage::item& it, bool with_cas) {
  text.append("VALUE ").append(it.key_and_suffix());
  if (!with_cas) return;
  text.resize(text.size() - 2);
  text.append(" ").append(std::to_string(it.cas)).append("\r\n");
}

// "get": ilist holds what was found, each item by a reference of its own.
step send_items_found(conn& c, bool with_cas) noexcept {
  c.reply.icurr = 0;
  c.reply.ipart = iparts::header;
  c.reply.with_cas = with_cas;
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
step refuse_value(conn& c, const protocol::outcome& asked) noexcept {
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
    case nothing: return go(conn_read);
    case hang_up: return close_after(c, asked.line);
  }
  return go(conn_closing);
}

// One command line, without its line end.
step process_command(conn& c, std::string_view line) {
  c.srv.trace.command(c.sfd.get(), line);
  protocol::process_command(c.srv.env, line, c.srv.outcome, c.reply.ilist);
  return act_on(c, c.srv.outcome);
}

// The value is whole: store it.
step complete_nread(conn& c) {
  protocol::complete_value(c.srv.env, std::move(c.request.item), c.request.cmd, c.request.cas, c.request.noreply,
                           c.srv.outcome);
  return act_on(c, c.srv.outcome);
}

// A command, if the buffer holds a whole one. nullopt: it does not.
std::optional<step> try_read_command(conn& c) {
  const std::string_view input = c.rbuf.unread();
  const auto end = protocol::find_line(input, c.rbuf.begin_search());
  if (!end) return std::nullopt;
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

// More bytes, if the network has some. nullopt: it has none now.
std::optional<step> try_read_network(conn& c) {
  const ssize_t res = receive(c, c.rbuf.room());
  if (res > 0) {
    c.rbuf.filled(static_cast<std::size_t>(res));
    return go(conn_read);
  }
  if (res == -1 && net::would_block()) return std::nullopt;
  // 0: the client will send no more. Any other error ends the connection too.
  return go(conn_closing);
}

// conn_read: first a command that is in the buffer, then what the kernel has; if there is neither, sleep.
step read_command(conn& c) {
  if (const auto next = try_read_command(c)) return *next;
  if (const auto next = try_read_network(c)) return *next;
  return wait_for(c, EV_READ | EV_PERSIST, conn_read);
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
  if (c.request.sbytes == 0) return go(conn_read);
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

// Sends as much of `unsent` as the kernel takes now, and stays in the state.
step write_some(conn& c, std::string_view& unsent) noexcept {
  const ssize_t res = write(c.sfd.get(), unsent.data(), unsent.size());
  c.srv.trace.call(c.sfd.get(), "write", res);
  if (res > 0) {
    unsent.remove_prefix(static_cast<std::size_t>(res));
    c.srv.traffic.bytes_written.add(static_cast<std::uint64_t>(res));
    return go(c.state);
  }
  if (res == -1 && net::would_block()) return wait_for(c, EV_WRITE | EV_PERSIST, c.state);
  return go(conn_closing);
}

// conn_write: the reply, then whatever write_and_go says.
step write_reply(conn& c) noexcept {
  if (!c.reply.wcurr.empty()) return write_some(c, c.reply.wcurr);
  c.reply.write_and_free.clear();
  c.reply.write_and_free.shrink_to_fit();
  return go(c.reply.write_and_go);
}

// All items are sent.
step finish_items(conn& c) {
  c.reply.ilist.clear();
  conn_shrink(c);
  return out_string(c, "END");
}

// conn_mwrite: header, value, header, value, … straight from the items, then "END". Each part is a write() of its own.
step write_items(conn& c) {
  if (!c.reply.iptr.empty()) return write_some(c, c.reply.iptr);
  switch (c.reply.ipart) {
    case iparts::value:
      c.reply.iptr = std::as_const(*c.reply.ilist[c.reply.icurr]).data();
      c.reply.ipart = iparts::next;
      return go(conn_mwrite);
    case iparts::next:
      c.reply.ilist[c.reply.icurr++].reset();
      c.reply.ipart = iparts::header;
      return go(conn_mwrite);
    case iparts::header:
      if (c.reply.icurr == c.reply.ilist.size()) return finish_items(c);
      const storage::item& it = *c.reply.ilist[c.reply.icurr];
      c.srv.trace.item(c.sfd.get(), it.key());
      c.reply.ibuf.clear();
      append_header(c.reply.ibuf, it, c.reply.with_cas);
      c.reply.iptr = c.reply.ibuf;
      c.reply.ipart = iparts::value;
      return go(conn_mwrite);
  }
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

// On return the connection is armed, or gone.
void drive_machine(conn& c) {
  for (;;) {
    step s = go(conn_closing);  // if it were none of these
    switch (c.state) {
      case conn_listening: s = accept_conn(c); break;
      case conn_read: s = read_command(c); break;
      case conn_nread: s = read_value(c); break;
      case conn_swallow: s = swallow_value(c); break;
      case conn_write: s = write_reply(c); break;
      case conn_mwrite: s = write_items(c); break;
      case conn_closing: conn_close(c); return;
    }
    conn_set_state(c, s.next);
    if (s.stop) return c.srv.trace.asleep(c.sfd.get(), c.ev_flags);
  }
}

// Nothing may unwind through libevent's C frames: a client for whom memory runs out is closed, and the server goes on.
void event_handler(evutil_socket_t, short which, void* arg) noexcept {
  conn& c = *static_cast<conn*>(arg);
  c.srv.trace.woken(c.sfd.get(), which);
  c.srv.store.set_time(c.srv.clock.time());
  try {
    drive_machine(c);
  } catch (const std::bad_alloc&) {
    c.srv.trace.problem(c.sfd.get(), "out of memory");
    conn_close(c);
  }
}
