// The binary protocol's way through the machine. A request is a header of 24 bytes, then extras and key, then a value;
// the header says how long each of them is. So after the header all is counting, and conn_nread, which counts, does the
// reading; `substate` says what it reads.
//
//     conn_parse_cmd: header -> conn_nread (bin_reading_key) -> conn_nread (bin_read_set_value) -> conn_write
//
#include "binary.h"

#include <span>
#include <string_view>
#include <utility>

#include "common/protocol/binary.h"
#include "server.h"

namespace {

// What conn_nread is to read next, and where to.
step read_part(conn& c, bin_substates what, std::span<char> into) noexcept {
  c.request.substate = what;
  c.request.ritem = into.data();
  c.request.rlbytes = into.size();
  return go(conn_nread);
}

step await_binary_value(conn& c, protocol::binary_outcome& asked) noexcept {
  c.request.item = std::move(asked.item);
  c.request.cmd = asked.mode;
  c.request.cas = asked.cas;
  return read_part(c, bin_read_set_value, c.request.item->data().first(c.request.item->value().size()));
}

// The item found: header and extras, perhaps the key, and the value without its line end.
step send_binary_item(conn& c, protocol::binary_outcome& asked) {
  begin_packet(c, asked.packet);
  c.reply.ilist.clear();
  const storage::item& it = *c.reply.ilist.emplace_back(std::move(asked.item));
  c.srv.trace.item(c.sfd.get(), it.key());
  if (asked.with_key) add_iov(c, it.key());
  add_iov(c, it.value());
  return go(conn_mwrite);
}

// Sends `packet`, and then goes where a reply does not usually go.
step reply_and_go(conn& c, std::string_view packet, conn_states next) {
  if (packet.empty()) return go(next);
  const step write = out_packet(c, packet);
  c.reply.write_and_go = next;
  return write;
}

// act_on of the text protocol, once more for packets.
step act_on_binary(conn& c, protocol::binary_outcome& asked) {
  using enum protocol::binary_outcome::kind;
  switch (asked.what) {
    case reply_packet: return out_packet(c, asked.packet);
    case reply_text: return out_text(c, std::move(asked.text));
    case send_item: return send_binary_item(c, asked);
    case want_value: return await_binary_value(c, asked);
    case skip_value: c.request.sbytes = asked.swallow_bytes; return reply_and_go(c, asked.packet, conn_swallow);
    case nothing: return go(conn_new_cmd);
    case hang_up: return reply_and_go(c, asked.packet, conn_closing);
  }
  return go(conn_closing);
}

}  // namespace

step try_read_binary(conn& c) {
  const std::string_view input = c.rbuf.unread();
  if (input.size() < protocol::binary_header_size) return go(conn_waiting);
  const auto header = protocol::decode_binary_header(std::span(input).first<protocol::binary_header_size>());
  if (!header) return go(conn_closing);
  c.request.binary_header = *header;
  c.rbuf.consume(protocol::binary_header_size);
  if (!protocol::check_binary_request(c.request.binary_header, c.thread->binary_outcome)) {
    return act_on_binary(c, c.thread->binary_outcome);
  }
  return read_part(c, bin_reading_key,
                   std::span(c.request.extras_and_key).first(c.request.binary_header.extras_and_key_size()));
}

step complete_nread_binary(conn& c) {
  protocol::binary_outcome& asked = c.thread->binary_outcome;
  switch (std::exchange(c.request.substate, bin_no_state)) {
    case bin_no_state: return go(conn_closing);
    case bin_reading_key: {
      const std::string_view part(c.request.extras_and_key.data(), c.request.binary_header.extras_and_key_size());
      c.srv.trace.command(c.sfd.get(), part.substr(c.request.binary_header.extlen));
      protocol::process_binary_request(c.thread->env, c.request.binary_header, part, asked);
      break;
    }
    case bin_read_set_value:
      protocol::complete_binary_value(c.thread->env, c.request.binary_header, std::move(c.request.item), c.request.cmd,
                                      c.request.cas, asked);
      break;
  }
  return act_on_binary(c, asked);
}
