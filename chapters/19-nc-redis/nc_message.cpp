// A message: how it is cut out of a stream, and how it is received and sent.
#include "nc_message.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "nc_core.h"

msg_ref req_get(context& ctx, conn* client) {
  msg_ref request = ctx.messages.make(true, client);
  request->id = ++ctx.last_id;
  return request;
}

msg_ref rsp_get(context& ctx) { return ctx.messages.make(false, nullptr); }

namespace {

void memcache_parse_req(msg& m, std::string_view line) {
  const protocol::request_frame frame = protocol::frame_request(line);
  m.kind = frame.kind;
  m.key = frame.key;
  m.keys = frame.keys;
  m.many_keys = frame.many_keys;
  m.noreply = frame.noreply;
  m.refusal = frame.refusal;
  m.out_of_step = frame.out_of_step;
  m.vlen = frame.value_bytes;
  m.last_line = true;
}

// `size`: of the line, with its end. False: it is no reply.
bool memcache_parse_rsp(msg& m, std::string_view line, std::size_t size) {
  const protocol::reply_frame frame = protocol::frame_reply(line);
  const bool begun = m.mhdr.size() > 0;
  if (begun && !frame.last && frame.item != m.has_items) return false;  // items, or lines, but not both
  m.vlen = frame.value_bytes;
  m.last_line = frame.last;
  m.has_items = frame.item;
  m.complete_get = line == "END";
  if (frame.item && m.of_fragment) m.items.push_back(size + m.vlen);
  return frame.valid;
}

}  // namespace

const proto memcache_proto{memcache_parse, memcache_recv_done, memcache_join, "SERVER_ERROR "};

msg_parse_result memcache_parse(msg& m, mbuf& in) {
  for (;;) {
    if (m.vlen > 0 && m.refusal.empty()) {
      m.vlen -= in.move_to(m.mhdr, m.vlen);
      if (m.vlen > 0) return MSG_PARSE_AGAIN;
    }
    if (m.last_line) return MSG_PARSE_OK;

    const std::string_view unread = in.unread();
    if (m.request && unread.starts_with('\x80')) return MSG_PARSE_ERROR;  // the binary protocol
    const std::size_t end = unread.find('\n', m.scanned);
    if (protocol::too_long(unread.substr(0, end))) return MSG_PARSE_ERROR;
    if (end == std::string_view::npos) {
      m.scanned = unread.size();
      return MSG_PARSE_AGAIN;
    }
    m.scanned = 0;
    std::string_view line = unread.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (m.request) {
      memcache_parse_req(m, line);
    } else if (!memcache_parse_rsp(m, line, end + 1)) {
      return MSG_PARSE_ERROR;
    }
    in.move_to(m.mhdr, end + 1);
  }
}

std::string_view first_line(const msg& m) noexcept {
  if (m.mhdr.slices().empty()) return "";  // it was thrown away
  const std::string_view begin = m.mhdr.slices().front().bytes;
  const std::string_view line = begin.substr(0, begin.find('\n'));
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

namespace {

// A client who sends faster than we read would never let the loop go on. So after so many reads others have their turn.
constexpr int most_reads = 32;

}  // namespace

rstatus_t msg_recv(context& ctx, conn& c) {
  c.recv_ready = true;
  for (int reads = 0;; ++reads) {
    // First what is here. A client that was held back may have left something.
    while (msg* m = c.handlers->recv_next(ctx, c)) {
      const msg_parse_result result = pool_of(c).proto.parse(*m, c.rbuf);
      if (result == MSG_PARSE_AGAIN) break;
      if (result == MSG_PARSE_ERROR) {
        c.err = EPROTO;
        return NC_ERROR;
      }
      c.handlers->recv_done(ctx, c);
    }
    if (!c.recv_ready || !c.recv_active || c.eof || c.done) break;
    if (reads == most_reads && c.role == conn_role::client) {
      event_again(ctx.evb, c);
      break;
    }
    const ssize_t n = conn_recv(ctx, c, c.rbuf.room());
    if (n == -1) return NC_ERROR;
    c.rbuf.filled(static_cast<std::size_t>(n));
  }
  c.rbuf.give_back();
  return NC_OK;
}

namespace {

// What one writev takes.
constexpr std::size_t most_iov = 128;

// Sends what one writev takes of `m` and of the messages after it.
rstatus_t msg_send_chain(context& ctx, conn& c, msg* m) {
  std::array<iovec, most_iov> iov;
  std::size_t count = 0;
  for (; m != nullptr && count < iov.size(); m = c.handlers->send_next(ctx, c)) {
    std::size_t skip = m->sent;
    for (const slice& piece : m->mhdr.slices()) {
      if (count == iov.size()) break;
      if (skip >= piece.bytes.size()) {
        skip -= piece.bytes.size();
        continue;
      }
      iov[count++] = {const_cast<char*>(piece.bytes.data()) + skip, piece.bytes.size() - skip};
      skip = 0;
    }
  }

  const ssize_t n = conn_sendv(ctx, c, {iov.data(), count});
  if (n == -1) return NC_ERROR;
  c.smsg = nullptr;  // from the first one again
  for (std::size_t left = static_cast<std::size_t>(n); (m = c.handlers->send_next(ctx, c)) != nullptr;) {
    const std::size_t part = std::min(left, m->mhdr.size() - m->sent);
    m->sent += part;
    left -= part;
    if (m->sent < m->mhdr.size()) break;
    c.handlers->send_done(ctx, c);
    c.smsg = nullptr;
  }
  c.smsg = nullptr;
  return NC_OK;
}

}  // namespace

rstatus_t msg_send(context& ctx, conn& c) {
  c.smsg = nullptr;
  while (msg* m = c.handlers->send_next(ctx, c)) {
    if (c.send_ready && msg_send_chain(ctx, c, m) != NC_OK) return NC_ERROR;
    if (!c.send_ready) {
      event_add_out(ctx.evb, c);  // we hear when there is room again
      return NC_OK;
    }
  }
  event_del_out(ctx.evb, c);
  return NC_OK;
}
