// The state machine. An event says that a socket is ready; the connection's state says what to do about it.
//
//     libevent -> event_handler -> drive_machine -> one function per state -> the next state, or back to libevent
//
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "common/net/sockets.h"
#include "common/protocol/text.h"
#include "server.h"

namespace {

bool would_block() noexcept { return errno == EAGAIN || errno == EWOULDBLOCK; }

// conn_listening: one client per event. If another one waits, the event fires again: it is level-triggered.
step accept_conn(conn& c) noexcept {
  net::unique_fd client(accept4(c.sfd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  c.srv.trace.call(c.sfd.get(), "accept4", client.get());
  if (!client) {
    const int error = errno;
    if (!would_block()) c.srv.trace.problem(c.sfd.get(), "accept()", error);
    // No descriptor left here, or in the whole machine, or no memory: the client is still in the queue.
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) accept_new_conns(c.srv, false);
    return {conn_listening, true};
  }
  const settings& opts = c.srv.settings;
  if (opts.maxconns_fast && client.get() >= opts.maxconns - 1) {
    refuse_client(c.srv, std::move(client));
    return {conn_listening, true};
  }
  c.srv.trace.opened(client.get());
  dispatch_conn_new(c.srv, std::move(client), conn_new_cmd, EV_READ | EV_PERSIST, data_buffer_size, c.transport);
  return {conn_listening, true};
}

// The header line of a gets ends in the cas number, which the item does not have as text.
std::string_view cas_suffix(conn& c, const storage::item& it) {
  std::array<char, 24>& text = c.suffixlist.emplace_back();
  text[0] = ' ';
  char* const end = std::to_chars(&text[1], text.end() - 2, it.cas).ptr;
  std::memcpy(end, "\r\n", 2);
  return {text.data(), static_cast<std::size_t>(end + 2 - text.data())};
}

// "get": the reply is a list of places. In the item, key, flags, length and value stand in the reply's order.
step send_items_found(conn& c, bool with_cas) {
  begin_reply(c);
  c.suffixlist.clear();
  if (with_cas) c.suffixlist.reserve(c.ilist.size());  // so that no entry moves while its place is in iov
  for (const storage::item_ref& it : c.ilist) {
    if (c.transport == udp_transport && c.msglist.size() >= udp_most_datagrams) {
      return out_string(c, "SERVER_ERROR out of memory writing get response");
    }
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
  c.item = std::move(asked.item);
  c.ritem = c.item->data().data();
  c.rlbytes = c.item->nbytes;
  c.cmd = asked.mode;
  c.cas = asked.cas;
  c.noreply = asked.noreply;
  return go(conn_nread);
}

// A value that the storage will not take is on its way all the same: say why, then let it pass.
step refuse_value(conn& c, const protocol::outcome& asked) {
  c.sbytes = asked.swallow_bytes;
  if (asked.line.empty()) return go(conn_swallow);
  const step next = out_string(c, asked.line);
  c.write_and_go = conn_swallow;
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
  c.last_cmd_time = c.srv.store.time();
  protocol::process_command(c.thread->env, line, c.thread->outcome, c.ilist);
  return act_on(c, c.thread->outcome);
}

// The value is whole: store it.
step complete_nread(conn& c) {
  if (c.prot == binding_protocol::binary) return complete_nread_binary(c);
  protocol::complete_value(c.thread->env, std::move(c.item), c.cmd, c.cas, c.noreply, c.thread->outcome);
  return act_on(c, c.thread->outcome);
}

// conn_new_cmd: the next command, unless this connection has had its share of this event. Then it is the others' turn.
step next_command(conn& c, int& nreqs) noexcept {
  conn_shrink(c);
  const bool more_is_here = !c.rbuf.unread().empty();
  if (nreqs-- > 0) return go(more_is_here ? conn_parse_cmd : conn_waiting);
  c.thread->stats.conn_yields.add();
  // With input in rbuf the kernel may have nothing left to tell us about, and EV_READ might never fire again. So ask
  // for EV_WRITE: a socket can nearly always be written to.
  return wait_for(c, (more_is_here ? EV_WRITE : EV_READ) | EV_PERSIST, conn_new_cmd);
}

// conn_parse_cmd: a command, if the buffer holds a whole one.
step try_read_command(conn& c) {
  const std::string_view input = c.rbuf.unread();
  // The first byte decides: no text command begins with 0x80.
  if (c.prot == binding_protocol::negotiating && !input.empty()) {
    const bool magic = static_cast<unsigned char>(input.front()) == protocol::binary_request_magic;
    c.prot = magic ? binding_protocol::binary : binding_protocol::ascii;
  }
  if (c.prot == binding_protocol::binary) return try_read_binary(c);
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
  if (res > 0) c.thread->stats.bytes_read.add(static_cast<std::uint64_t>(res));
  return res;
}

// conn_read: more bytes, if the network has some.
step try_read_network(conn& c) {
  const ssize_t res = receive(c, c.rbuf.room());
  if (res > 0) {
    c.rbuf.filled(static_cast<std::size_t>(res));
    return go(conn_parse_cmd);
  }
  if (res == -1 && would_block()) return go(conn_waiting);
  // 0: the client will send no more. Any other error ends the connection too.
  return go(conn_closing);
}

// conn_read on a datagram socket: one datagram, which is one request. Its header of 8 bytes is the client's count of
// requests, which datagram of the request it is, of how many, and two bytes of nothing.
step try_read_udp(conn& c) {
  c.rbuf.consume(c.rbuf.unread().size());  // half a command at the end of the last datagram: its rest will not come
  const std::span<char> room = c.rbuf.room();
  c.request_addr_size = sizeof c.request_addr;
  const ssize_t res = recvfrom(c.sfd.get(), room.data(), room.size(), 0, reinterpret_cast<sockaddr*>(&c.request_addr),
                               &c.request_addr_size);
  c.srv.trace.call(c.sfd.get(), "recvfrom", res);
  if (res > 0) c.thread->stats.bytes_read.add(static_cast<std::uint64_t>(res));
  if (res <= static_cast<ssize_t>(udp_header_size)) return go(conn_waiting);  // nothing, or no request
  // An error that another server sent, or somebody in its name. With an answer the two would talk for ever.
  if (protocol::is_error({room.data() + udp_header_size, static_cast<std::size_t>(res) - udp_header_size})) {
    return go(conn_waiting);
  }
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(room[i]); };
  c.request_id = byte(0) * 256u + byte(1);
  if (byte(4) != 0 || byte(5) != 1) return out_string(c, "SERVER_ERROR multi-packet request not supported");
  c.rbuf.filled(static_cast<std::size_t>(res));
  c.rbuf.consume(udp_header_size);
  c.prot = c.srv.settings.protocol;  // each datagram chooses anew, for they come from many clients
  return go(conn_parse_cmd);
}

// A value that is not whole in its datagram never will be.
step no_rest_will_come(conn& c) {
  c.item.reset();
  // A binary client cannot read a line of text. It hears nothing, as it does after half a header.
  if (c.prot == binding_protocol::binary) return go(conn_new_cmd);
  return out_string(c, "SERVER_ERROR multi-packet request not supported");
}

// conn_nread: rlbytes bytes into the item; those that came along with the command are in rbuf and go first.
step read_value(conn& c) {
  if (c.rlbytes == 0) return complete_nread(c);
  if (const std::string_view here = c.rbuf.unread(); !here.empty()) {
    // Not one buffer but two: rbuf is the connection's, ritem points into the item.
    const std::size_t tocopy = std::min(here.size(), c.rlbytes);
    std::memcpy(c.ritem, here.data(), tocopy);
    c.rbuf.consume(tocopy);
    c.ritem += tocopy;
    c.rlbytes -= tocopy;
    return go(conn_nread);
  }
  if (c.transport == udp_transport) return no_rest_will_come(c);
  const ssize_t res = receive(c, {c.ritem, c.rlbytes});
  if (res > 0) {
    c.ritem += res;
    c.rlbytes -= static_cast<std::size_t>(res);
    return go(conn_nread);
  }
  if (res == -1 && would_block()) return wait_for(c, EV_READ | EV_PERSIST, conn_nread);
  return go(conn_closing);
}

// conn_swallow: takes sbytes bytes as conn_nread does, first from rbuf and then from the socket, and drops them.
step swallow_value(conn& c) {
  if (c.sbytes == 0) return go(conn_new_cmd);
  if (const std::string_view here = c.rbuf.unread(); !here.empty()) {
    const std::size_t n = std::min(here.size(), c.sbytes);
    c.rbuf.consume(n);
    c.sbytes -= n;
    return go(conn_swallow);
  }
  if (c.transport == udp_transport) return go(conn_new_cmd);
  const std::span<char> room = c.rbuf.room();
  const ssize_t res = receive(c, room.first(std::min(room.size(), c.sbytes)));
  if (res > 0) {
    c.sbytes -= static_cast<std::size_t>(res);
    return go(conn_swallow);
  }
  if (res == -1 && would_block()) return wait_for(c, EV_READ | EV_PERSIST, conn_swallow);
  return go(conn_closing);
}

// The reply is sent: let go of what it was made of.
step reply_sent(conn& c) noexcept {
  c.ilist.clear();
  std::string().swap(c.write_and_free);
  return go(c.write_and_go);
}

// `sent` bytes of the message are on their way: what remains begins after them.
void skip(conn& c, message& m, std::size_t sent) noexcept {
  while (m.count > 0 && sent >= c.iov[m.first].iov_len) {
    sent -= c.iov[m.first].iov_len;
    ++m.first;
    --m.count;
  }
  if (m.count == 0) return;
  iovec& part = c.iov[m.first];
  part.iov_base = static_cast<char*>(part.iov_base) + sent;
  part.iov_len -= sent;
}

// conn_write, conn_mwrite: as much of the reply as the kernel takes, by one sendmsg() per message.
step transmit(conn& c) {
  if (c.msgcurr == c.msglist.size()) return reply_sent(c);
  message& m = c.msglist[c.msgcurr];
  msghdr header{};
  if (c.transport == udp_transport) {
    if (c.msgcurr == 0) build_udp_headers(c);
    header.msg_name = &c.request_addr;
    header.msg_namelen = c.request_addr_size;
  }
  header.msg_iov = &c.iov[m.first];
  header.msg_iovlen = m.count;
  const ssize_t res = sendmsg(c.sfd.get(), &header, 0);
  c.srv.trace.call(c.sfd.get(), "sendmsg", res);
  if (res >= 0) {
    c.thread->stats.bytes_written.add(static_cast<std::uint64_t>(res));
    skip(c, m, static_cast<std::size_t>(res));
    if (m.count == 0) ++c.msgcurr;
    return go(c.state);
  }
  if (would_block()) return wait_for(c, EV_WRITE | EV_PERSIST, c.state);
  return go(conn_closing);
}

// conn_closing on a datagram socket: it is not only this client's, and stays.
void forget_client(conn& c) noexcept {
  conn_cleanup(c);
  // Perhaps it is here because libevent would not arm it. If it will not even now, the other workers go on alone.
  (void)update_event(c, EV_READ | EV_PERSIST);
  conn_set_state(c, conn_read);
}

}  // namespace

// On return the connection is armed, or closed, or a listener that is muted.
void drive_machine(conn& c) {
  int nreqs = c.srv.settings.reqs_per_event;
  for (;;) {
    step s{c.state};
    switch (c.state) {
      case conn_listening: s = accept_conn(c); break;
      case conn_new_cmd: s = next_command(c, nreqs); break;
      case conn_waiting: s = wait_for(c, EV_READ | EV_PERSIST, conn_read); break;
      case conn_read: s = c.transport == udp_transport ? try_read_udp(c) : try_read_network(c); break;
      case conn_parse_cmd: s = try_read_command(c); break;
      case conn_nread: s = read_value(c); break;
      case conn_swallow: s = swallow_value(c); break;
      case conn_write: s = transmit(c); break;
      case conn_mwrite: s = transmit(c); break;
      case conn_closing: return c.transport == udp_transport ? forget_client(c) : conn_close(c);
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
    c.transport == udp_transport ? forget_client(c) : conn_close(c);
  }
}
