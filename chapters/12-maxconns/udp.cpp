// A datagram is a request; its reply is one or more.
#include "udp.h"

#include <event2/event.h>

#include <cstdint>
#include <span>

#include "common/protocol/text.h"
#include "conn.h"
#include "drive_machine.h"
#include "server.h"

step try_read_udp(conn& c) {
  c.rbuf.consume(c.rbuf.unread().size());  // half a command at the end of the last datagram: its rest will not come
  const std::span<char> room = c.rbuf.room();
  c.peer.request_addr_size = sizeof c.peer.request_addr;
  const ssize_t res = recvfrom(c.sfd.get(), room.data(), room.size(), 0,
                               reinterpret_cast<sockaddr*>(&c.peer.request_addr), &c.peer.request_addr_size);
  c.srv.trace.call(c.sfd.get(), "recvfrom", res);
  if (res > 0) c.thread->stats.bytes_read.add(static_cast<std::uint64_t>(res));
  if (res <= static_cast<ssize_t>(udp_header_size)) return go(conn_waiting);  // nothing, or no request
  // An error that another server sent, or somebody in its name. With an answer the two would talk for ever.
  if (protocol::is_error({room.data() + udp_header_size, static_cast<std::size_t>(res) - udp_header_size})) {
    return go(conn_waiting);
  }
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(room[i]); };
  c.peer.request_id = byte(0) * 256u + byte(1);
  if (byte(4) != 0 || byte(5) != 1) return out_string(c, "SERVER_ERROR multi-packet request not supported");
  c.rbuf.filled(static_cast<std::size_t>(res));
  c.rbuf.consume(udp_header_size);
  c.prot = c.srv.settings.protocol;  // each datagram chooses anew, for they come from many clients
  return go(conn_parse_cmd);
}

step no_rest_will_come(conn& c) {
  c.request.item.reset();
  // A binary client cannot read a line of text. It hears nothing, as it does after half a header.
  if (c.prot == binding_protocol::binary) return go(conn_new_cmd);
  return out_string(c, "SERVER_ERROR multi-packet request not supported");
}

void build_udp_headers(conn& c) {
  reply& r = c.reply;
  r.hdrbuf.resize(r.msglist.size());
  for (std::size_t i = 0; i < r.msglist.size(); ++i) {
    const auto high = [](std::size_t n) { return static_cast<unsigned char>(n >> 8); };
    const auto low = [](std::size_t n) { return static_cast<unsigned char>(n); };
    const std::size_t id = c.peer.request_id;
    const std::size_t total = r.msglist.size();
    r.hdrbuf[i] = {high(id), low(id), high(i), low(i), high(total), low(total), 0, 0};
    r.iov[r.msglist[i].first].iov_base = r.hdrbuf[i].data();
  }
}

void forget_client(conn& c) noexcept {
  conn_cleanup(c);
  // Perhaps it is here because libevent would not arm it. If it will not even now, the other workers go on alone.
  (void)update_event(c, EV_READ | EV_PERSIST);
  conn_set_state(c, conn_read);
}
