// The binary protocol as a client sees it: packets, conversations in packets, and the words in which tables of them are
// written (protocol-binary.txt). The numbers are the document's, written down here once more, for the server's own
// header is among what is under test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client.h"
#include "conversation.h"
#include "server_process.h"

namespace contract::packets {

// protocol-binary.txt, "Command Opcodes"; memcached says delete for remove. A final q is for quiet.
enum class opcode : std::uint8_t {
  get = 0x00,
  set = 0x01,
  add = 0x02,
  replace = 0x03,
  remove = 0x04,
  increment = 0x05,
  decrement = 0x06,
  quit = 0x07,
  flush = 0x08,
  getq = 0x09,
  noop = 0x0a,
  version = 0x0b,
  getk = 0x0c,
  getkq = 0x0d,
  append = 0x0e,
  prepend = 0x0f,
  stat = 0x10,
  setq = 0x11,
  addq = 0x12,
  replaceq = 0x13,
  removeq = 0x14,
  incrementq = 0x15,
  decrementq = 0x16,
  quitq = 0x17,
  flushq = 0x18,
  appendq = 0x19,
  prependq = 0x1a,
  verbosity = 0x1b,
  touch = 0x1c,
  gat = 0x1d,
  gatq = 0x1e,
  sasl_list_mechs = 0x20,
  sasl_auth = 0x21,
  sasl_step = 0x22,
  gatk = 0x23,
  gatkq = 0x24,
};
using enum opcode;

// What is wrong, and the words for it.
struct status {
  std::uint16_t number;
  std::string_view text;
};

inline constexpr status not_found{0x01, "Not found"};
inline constexpr status exists{0x02, "Data exists for key."};
inline constexpr status too_large{0x03, "Too large."};
inline constexpr status invalid{0x04, "Invalid arguments"};
inline constexpr status not_stored{0x05, "Not stored."};
inline constexpr status not_a_number{0x06, "Non-numeric server-side value for incr or decr"};
inline constexpr status forbidden{0x20, "Auth failure."};
inline constexpr status unknown{0x81, "Unknown command"};
inline constexpr status no_memory{0x82, "Out of memory allocating item"};

// A packet's cas field: 0, or a number of the server's making. one and two each stand for the same number wherever they
// stand in a conversation, and not for each other's; wrong is a number that no server has ever given.
enum class cas_id { zero, any, one, two, wrong };
using enum cas_id;

// What a client asks. '@' in a key stands for six characters that no other playing of the conversation has.
struct request {
  opcode op{};
  std::string extras{};
  std::string key{};
  std::string value{};
  cas_id cas = zero;
  // What the header says, where that is not the truth.
  std::optional<std::uint8_t> extlen{};
  std::optional<std::uint16_t> keylen{};
  std::optional<std::uint32_t> bodylen{};
  std::uint8_t magic = 0x80;
  // Two fields that no server looks at.
  std::uint8_t data_type = 0;
  std::uint16_t vbucket = 0;
};

// What it must hear. The opcode and the opaque number are those of the request.
struct reply {
  std::uint16_t status = 0;
  std::string extras{};
  std::string key{};
  std::string value{};
  cas_id cas = zero;
};

// Most significant byte first.
[[nodiscard]] std::string big_endian(std::uint64_t number, std::size_t size);
[[nodiscard]] inline std::string u32(std::uint64_t number) { return big_endian(number, 4); }
[[nodiscard]] inline std::string u64(std::uint64_t number) { return big_endian(number, 8); }

[[nodiscard]] std::string encode(const request& r, std::uint64_t opaque = 0, std::uint64_t cas = 0);
[[nodiscard]] std::string encode(const reply& r, opcode op, std::uint64_t opaque = 0, std::uint64_t cas = 0);

// What a server has sent. Shorter than its header says only at the end of the stream.
struct packet {
  std::string bytes;

  [[nodiscard]] std::uint64_t number(std::size_t position, std::size_t size) const;
  [[nodiscard]] std::uint64_t status() const { return number(6, 2); }
  [[nodiscard]] std::uint64_t cas() const { return number(16, 8); }
  [[nodiscard]] std::string key() const { return bytes.substr(24 + number(4, 1), number(2, 2)); }
  [[nodiscard]] std::string value() const { return bytes.substr(24 + number(4, 1) + number(2, 2)); }
};

[[nodiscard]] packet receive_packet(client& c);
// Sends one request and receives its answer of one packet. A '@' stands for itself.
[[nodiscard]] packet ask(client& c, const request& r);

// ---- conversations ----

struct turn {
  request asked;
  std::vector<reply> answered;  // none: silence
};

struct dialogue {
  std::string name;
  std::vector<turn> turns;
  ending_with then = ending_with::connection_in_step;
};

inline constexpr auto closed = ending_with::connection_closed;

// As play() does with lines: every row in one piece, cut in two at every boundary (long ones: around the beginning, at
// the end, and at a few places between), and a byte at a time; each cut a real one. What needs a number that it has to
// hear first is sent turn by turn, everything else as one stream.
void play(const server_process& server, std::span<const dialogue> table);

// ---- the words of the tables: what is asked (of the key "@a", where there is a key) ... ----

// More than a month is no time from now, but a date.
inline constexpr std::uint64_t long_past = 60 * 60 * 24 * 30 + 1;
inline constexpr std::uint64_t create_nothing = 0xffffffff;  // as the exptime of increment and decrement

[[nodiscard]] inline request bare(opcode op) { return {.op = op}; }
[[nodiscard]] inline request keyed(opcode op, cas_id cas = zero) { return {.op = op, .key = "@a", .cas = cas}; }
[[nodiscard]] inline request update(opcode op, std::string value, cas_id cas = zero, std::uint64_t flags = 0,
                                    std::uint64_t exptime = 0) {
  return {.op = op, .extras = u32(flags) + u32(exptime), .key = "@a", .value = std::move(value), .cas = cas};
}
[[nodiscard]] inline request join(opcode op, std::string value, cas_id cas = zero) {
  return {.op = op, .key = "@a", .value = std::move(value), .cas = cas};
}
[[nodiscard]] inline request count(opcode op, std::uint64_t delta, std::uint64_t initial = 0,
                                   std::uint64_t exptime = create_nothing, cas_id cas = zero) {
  return {.op = op, .extras = u64(delta) + u64(initial) + u32(exptime), .key = "@a", .cas = cas};
}
[[nodiscard]] inline request touching(opcode op, std::uint64_t exptime = 0) {
  return {.op = op, .extras = u32(exptime), .key = "@a"};
}
[[nodiscard]] inline request timed(opcode op, std::string extras) { return {.op = op, .extras = std::move(extras)}; }

// ---- ... and what is answered ----

inline const std::vector<reply> nothing;
[[nodiscard]] inline std::vector<reply> done(cas_id cas = any) { return {{.cas = cas}}; }
[[nodiscard]] inline std::vector<reply> refused(status why) {
  return {{.status = why.number, .value = std::string{why.text}}};
}
[[nodiscard]] inline std::vector<reply> found(std::string value, cas_id cas = any, std::uint64_t flags = 0) {
  return {{.extras = u32(flags), .value = std::move(value), .cas = cas}};
}
[[nodiscard]] inline std::vector<reply> found_with_key(std::string value, cas_id cas = any) {
  return {{.extras = u32(0), .key = "@a", .value = std::move(value), .cas = cas}};
}
[[nodiscard]] inline std::vector<reply> missed_with_key() { return {{.status = not_found.number, .key = "@a"}}; }
[[nodiscard]] inline std::vector<reply> counted(std::uint64_t number, cas_id cas = any) {
  return {{.value = u64(number), .cas = cas}};
}

}  // namespace contract::packets
