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
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "common/basics/parsed.h"
#include "common/net/sockets.h"
#include "common/protocol/text.h"
#include "common/protocol/version.h"
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

// "verbosity N": how much the server tells on stderr.
step set_verbosity(conn& c, std::string_view level) noexcept {
  const auto n = parsed<unsigned>(level);
  if (!n) return out_string(c, "CLIENT_ERROR bad command line format");
  c.srv.trace.set_verbosity(*n);
  return out_string(c, "OK");
}

// One command line, without its line end.
step process_command(conn& c, std::string_view line) {
  c.srv.trace.command(c.sfd.get(), line);
  if (protocol::line_too_long(line)) return close_after(c, protocol::line_too_long_text);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  if (line == "quit") return go(conn_closing);
  if (line == "version") return out_string(c, protocol::version_line);
  if (line.starts_with("verbosity ")) return set_verbosity(c, line.substr(line.find(' ') + 1));
  return out_string(c, "ERROR");
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

// Sends as much of `unsent` as the kernel takes now, and stays in the state.
step write_some(conn& c, std::string_view& unsent) noexcept {
  const ssize_t res = write(c.sfd.get(), unsent.data(), unsent.size());
  c.srv.trace.call(c.sfd.get(), "write", res);
  if (res > 0) {
    unsent.remove_prefix(static_cast<std::size_t>(res));
    return go(c.state);
  }
  if (res == -1 && net::would_block()) return wait_for(c, EV_WRITE | EV_PERSIST, c.state);
  return go(conn_closing);
}

// conn_write: the reply, then whatever write_and_go says.
step write_reply(conn& c) noexcept {
  if (!c.reply.wcurr.empty()) return write_some(c, c.reply.wcurr);
  return go(c.reply.write_and_go);
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
      case conn_write: s = write_reply(c); break;
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
  try {
    drive_machine(c);
  } catch (const std::bad_alloc&) {
    c.srv.trace.problem(c.sfd.get(), "out of memory");
    conn_close(c);
  }
}
