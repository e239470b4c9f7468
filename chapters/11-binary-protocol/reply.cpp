// Building a reply, and sending it.
#include "reply.h"

#include <event2/event.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstring>
#include <utility>

#include "common/net/sockets.h"
#include "conn.h"
#include "server.h"

namespace {

template <typename T>
void shrink_list(std::vector<T>& list, std::size_t highwat) noexcept {
  if (list.capacity() > highwat) std::vector<T>().swap(list);
}

// One place more for the last message.
inline void add_place(reply& r, std::string_view bytes) {
  r.iov.push_back({const_cast<char*>(bytes.data()), bytes.size()});  // sendmsg only reads
  ++r.msglist.back().count;
  r.msglist.back().bytes += bytes.size();
}

}  // namespace

void reply::clear() noexcept {
  ilist.clear();
  msglist.clear();
  write_and_free.clear();
  write_and_free.shrink_to_fit();
}

void reply::shrink() noexcept {
  shrink_list(ilist, item_list_highwat);
  shrink_list(iov, iov_list_highwat);
  shrink_list(msglist, msg_list_highwat);
  shrink_list(suffixlist, item_list_highwat);
  shrink_list(hdrbuf, msg_list_highwat);
}

void add_msghdr(conn& c) {
  reply& r = c.reply;
  r.msglist.push_back({r.iov.size(), 0, 0});
  if (c.transport != udp_transport) return;
  r.iov.push_back({nullptr, udp_header_size});  // build_udp_headers fills it in
  r.msglist.back().count = 1;
  r.msglist.back().bytes = udp_header_size;
}

void add_iov(conn& c, std::string_view bytes) {
  reply& r = c.reply;
  if (r.msglist.back().count == IOV_MAX) add_msghdr(c);
  if (c.transport == udp_transport) {  // what does not fit into this datagram goes into the next ones
    std::size_t room = udp_max_payload_size - r.msglist.back().bytes;
    for (; bytes.size() > room; room = udp_max_payload_size - udp_header_size) {
      add_place(r, bytes.substr(0, room));
      bytes.remove_prefix(room);
      add_msghdr(c);
    }
  }
  add_place(r, bytes);
}

void begin_reply(conn& c) {
  reply& r = c.reply;
  r.iov.clear();
  r.msglist.clear();
  r.msgcurr = 0;
  r.write_and_go = conn_new_cmd;
  add_msghdr(c);
}

step out_string(conn& c, std::string_view line) {
  c.srv.trace.reply(c.sfd.get(), line);
  const std::size_t n = std::min(line.size(), c.reply.wbuf.size() - 2);
  std::memcpy(c.reply.wbuf.data(), line.data(), n);
  std::memcpy(c.reply.wbuf.data() + n, "\r\n", 2);
  begin_reply(c);
  add_iov(c, {c.reply.wbuf.data(), n + 2});
  return go(conn_write);
}

step close_after(conn& c, std::string_view line) {
  if (line.empty()) return go(conn_closing);
  const step next = out_string(c, line);
  c.reply.write_and_go = conn_closing;
  return next;
}

void begin_packet(conn& c, std::string_view packet) {
  std::memcpy(c.reply.wbuf.data(), packet.data(), packet.size());
  begin_reply(c);
  add_iov(c, {c.reply.wbuf.data(), packet.size()});
}

step out_packet(conn& c, std::string_view packet) {
  begin_packet(c, packet);
  return go(conn_write);
}

step out_text(conn& c, std::string text) {
  c.reply.write_and_free = std::move(text);
  begin_reply(c);
  add_iov(c, c.reply.write_and_free);
  return go(conn_write);
}

namespace {

// The reply is sent: let go of what it was made of.
step reply_sent(conn& c) noexcept {
  c.reply.clear();
  return go(c.reply.write_and_go);
}

// `sent` bytes of the message are on their way: what remains begins after them.
void skip(reply& r, message& m, std::size_t sent) noexcept {
  while (m.count > 0 && sent >= r.iov[m.first].iov_len) {
    sent -= r.iov[m.first].iov_len;
    ++m.first;
    --m.count;
  }
  if (m.count == 0) return;
  iovec& part = r.iov[m.first];
  part.iov_base = static_cast<char*>(part.iov_base) + sent;
  part.iov_len -= sent;
}

}  // namespace

step transmit(conn& c) {
  reply& r = c.reply;
  message& m = r.msglist[r.msgcurr];
  msghdr header{};
  if (c.transport == udp_transport) {
    if (r.msgcurr == 0) build_udp_headers(c);
    header.msg_name = &c.peer.request_addr;
    header.msg_namelen = c.peer.request_addr_size;
  }
  header.msg_iov = &r.iov[m.first];
  header.msg_iovlen = m.count;
  const ssize_t res = sendmsg(c.sfd.get(), &header, 0);
  c.srv.trace.call(c.sfd.get(), "sendmsg", res);
  if (res == -1) return net::would_block() ? wait_for(c, EV_WRITE | EV_PERSIST, c.state) : go(conn_closing);
  c.thread->stats.bytes_written.add(static_cast<std::uint64_t>(res));
  skip(r, m, static_cast<std::size_t>(res));
  if (m.count == 0) ++r.msgcurr;
  return r.msgcurr == r.msglist.size() ? reply_sent(c) : go(c.state);
}
