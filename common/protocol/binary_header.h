// A packet of the binary protocol is a header of 24 bytes and a body: extras, key and value, each of which may be
// missing (protocol-binary.txt, "Packet Structure").
//
//     byte     0     1       2       4       5          6        8        12      16   24
//     request  0x80  opcode  keylen  extlen  data type  vbucket  bodylen  opaque  cas  extras, key, value
//     reply    0x81  opcode  keylen  extlen  data type  status   bodylen  opaque  cas  extras, key, value
//
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "common/protocol/big_endian.h"

namespace protocol {

inline constexpr unsigned char binary_request_magic = 0x80;
inline constexpr unsigned char binary_reply_magic = 0x81;
inline constexpr std::size_t binary_header_size = 24;

// What a request asks for (protocol-binary.txt, "Command Opcodes"). A final q is for quiet: the client does not want to
// hear of success, or, for those that get, of a miss.
enum class binary_opcode : std::uint8_t {
  cmd_get = 0x00,
  cmd_set = 0x01,
  cmd_add = 0x02,
  cmd_replace = 0x03,
  cmd_delete = 0x04,
  cmd_increment = 0x05,
  cmd_decrement = 0x06,
  cmd_quit = 0x07,
  cmd_flush = 0x08,
  cmd_getq = 0x09,
  cmd_noop = 0x0a,
  cmd_version = 0x0b,
  cmd_getk = 0x0c,
  cmd_getkq = 0x0d,
  cmd_append = 0x0e,
  cmd_prepend = 0x0f,
  cmd_stat = 0x10,
  cmd_setq = 0x11,
  cmd_addq = 0x12,
  cmd_replaceq = 0x13,
  cmd_deleteq = 0x14,
  cmd_incrementq = 0x15,
  cmd_decrementq = 0x16,
  cmd_quitq = 0x17,
  cmd_flushq = 0x18,
  cmd_appendq = 0x19,
  cmd_prependq = 0x1a,
  cmd_touch = 0x1c,
  cmd_gat = 0x1d,
  cmd_gatq = 0x1e,
  cmd_sasl_list_mechs = 0x20,
  cmd_sasl_auth = 0x21,
  cmd_sasl_step = 0x22,
  cmd_gatk = 0x23,
  cmd_gatkq = 0x24,
};

// protocol-binary.txt, "Response Status".
enum class binary_status : std::uint16_t {
  success = 0x00,
  key_not_found = 0x01,
  key_exists = 0x02,
  too_large = 0x03,
  invalid_arguments = 0x04,
  not_stored = 0x05,
  delta_bad_value = 0x06,
  auth_error = 0x20,
  unknown_command = 0x81,
  out_of_memory = 0x82,
};

// Whatever the client has sent, so the opcode may be none of the above, and the lengths may contradict each other.
struct binary_request_header {
  binary_opcode opcode{};
  std::uint16_t keylen = 0;
  std::uint8_t extlen = 0;
  std::uint8_t data_type = 0;  // not looked at, as in 1.4.25
  std::uint16_t vbucket = 0;   // the same
  std::uint32_t bodylen = 0;   // of extras, key and value
  std::uint32_t opaque = 0;    // comes back in the reply
  std::uint64_t cas = 0;

  [[nodiscard]] std::size_t extras_and_key_size() const noexcept { return std::size_t{extlen} + keylen; }
  [[nodiscard]] bool lengths_agree() const noexcept { return extras_and_key_size() <= bodylen; }
  // Of a header whose lengths agree.
  [[nodiscard]] std::size_t value_size() const noexcept { return bodylen - extras_and_key_size(); }
};

// nullopt: this is no request, and what follows it makes no sense either.
[[nodiscard]] inline std::optional<binary_request_header> decode_binary_header(
    std::span<const char, binary_header_size> bytes) noexcept {
  big_endian_reader in({bytes.data(), bytes.size()});
  if (in.take<std::uint8_t>() != binary_request_magic) return std::nullopt;
  binary_request_header header;
  header.opcode = binary_opcode{in.take<std::uint8_t>()};
  header.keylen = in.take<std::uint16_t>();
  header.extlen = in.take<std::uint8_t>();
  header.data_type = in.take<std::uint8_t>();
  header.vbucket = in.take<std::uint16_t>();
  header.bodylen = in.take<std::uint32_t>();
  header.opaque = in.take<std::uint32_t>();
  header.cas = in.take<std::uint64_t>();
  return header;
}

struct binary_reply_header {
  binary_status status = binary_status::success;
  std::uint8_t extlen = 0;
  std::uint16_t keylen = 0;
  std::uint32_t bodylen = 0;
  std::uint64_t cas = 0;
};

// The header of a reply to `request`.
inline void put(big_endian_writer& out, const binary_request_header& request,
                const binary_reply_header& reply) noexcept {
  constexpr std::uint8_t raw_bytes = 0;  // the only data type there is
  out.put(std::uint8_t{binary_reply_magic});
  out.put(static_cast<std::uint8_t>(request.opcode));
  out.put(reply.keylen);
  out.put(reply.extlen);
  out.put(raw_bytes);
  out.put(static_cast<std::uint16_t>(reply.status));
  out.put(reply.bodylen);
  out.put(request.opaque);
  out.put(reply.cas);
}

}  // namespace protocol
