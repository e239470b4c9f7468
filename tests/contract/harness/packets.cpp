// The binary protocol as a client sees it: packets, and conversations in packets.
#include "packets.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "printable.h"
#include "target.h"

namespace contract::packets {

namespace {

// What stands for a number that is not known.
constexpr std::uint64_t never_given = 0xf1f2f3f4f5f6f7f8;

// The packet's first 24 bytes, in their order.
struct header {
  std::uint8_t magic;
  opcode op;
  std::uint64_t keylen;
  std::uint64_t extlen;
  std::uint8_t data_type;
  std::uint16_t vbucket_or_status;
  std::uint64_t bodylen;
  std::uint64_t opaque;
  std::uint64_t cas;
};

std::string encode_header(const header& h) {
  return big_endian(h.magic, 1) + big_endian(static_cast<std::uint8_t>(h.op), 1) + big_endian(h.keylen, 2) +
         big_endian(h.extlen, 1) + big_endian(h.data_type, 1) + big_endian(h.vbucket_or_status, 2) + u32(h.bodylen) +
         u32(h.opaque) + u64(h.cas);
}

// Whoever loses the place finds a line end, and the beginning of a packet.
std::uint64_t opaque_of(std::size_t turn) { return 0x0d0a8000 + turn; }

constexpr std::size_t whole = std::string::npos;

// How the bytes of the turns from `turn` on leave; all others leave in one piece.
struct manner {
  std::size_t turn;
  std::size_t first;  // the length of the first piece
  std::size_t piece;  // the length of the others
};

// One conversation on a connection and with keys of its own.
class playing {
 public:
  playing(const server_process& server, const dialogue& d, std::size_t number)
      : server_{server}, dialogue_{d}, prefix_{std::to_string(100'000 + number % 900'000)} {}

  // Turns that leave together: all, unless a number must be heard before it can be said.
  [[nodiscard]] std::size_t turns_together() const {
    const bool remembers =
        std::ranges::any_of(dialogue_.turns, [](const turn& t) { return t.asked.cas == one || t.asked.cas == two; });
    return remembers ? 1 : dialogue_.turns.size();
  }

  [[nodiscard]] std::string bytes(std::size_t first) const {
    std::string all;
    for (std::size_t i = first; i < first + turns_together(); ++i) {
      request r = dialogue_.turns[i].asked;
      r.key = with_prefix(r.key);
      all += encode(r, opaque_of(i), number_of(r.cas));
    }
    return all;
  }

  // nullopt: all as it must be.
  [[nodiscard]] std::optional<std::string> problem(const manner& how) {
    client c{server_};
    std::optional<std::string> wrong;
    try {
      for (std::size_t i = 0; i < dialogue_.turns.size() && !wrong; i += turns_together()) {
        send(c, bytes(i), i == how.turn ? how.first : whole, how.piece);
        for (std::size_t t = i; t < i + turns_together() && !wrong; ++t) wrong = check(c, t);
      }
      if (!wrong) wrong = check_end(c);
    } catch (const deadline_passed& e) {
      wrong = e.what();
    }
    c.reset();
    return wrong;
  }

 private:
  static void send(client& c, std::string_view bytes, std::size_t first, std::size_t piece) {
    for (std::size_t length = first; !bytes.empty(); length = piece) {
      c.send(bytes.substr(0, length));
      bytes.remove_prefix(std::min(length, bytes.size()));
      if (!bytes.empty()) c.wait_until_consumed();
    }
  }

  std::optional<std::string> check(client& c, std::size_t turn) {
    const auto& [asked, answered] = dialogue_.turns[turn];
    for (const reply& expected : answered) {
      const packet received = receive_packet(c);
      if (auto wrong = difference(expected, asked.op, opaque_of(turn), received.bytes)) return wrong;
    }
    return std::nullopt;
  }

  std::optional<std::string> check_end(client& c) {
    if (dialogue_.then == closed) {
      const std::string rest = c.receive_rest();
      return rest.empty() ? std::nullopt : std::optional{"no end, but " + printable_around(rest, 0)};
    }
    const std::uint64_t opaque = opaque_of(dialogue_.turns.size());
    c.send(encode({.op = noop}, opaque));
    auto wrong = difference({}, noop, opaque, receive_packet(c).bytes);
    if (wrong) *wrong += "\n  (the answer to a noop that followed the conversation)";
    return wrong;
  }

  std::optional<std::string> difference(reply expected, opcode op, std::uint64_t opaque, const std::string& received) {
    expected.key = with_prefix(expected.key);
    if (received.size() >= 24) meet(expected.cas, packet{received}.cas());
    const std::string bytes = encode(expected, op, opaque, number_of(expected.cas));
    if (received == bytes) return std::nullopt;
    const auto position = static_cast<std::size_t>(std::ranges::mismatch(bytes, received).in1 - bytes.begin());
    return "expected " + printable_around(bytes, position) + "\n  received " + printable_around(received, position);
  }

  [[nodiscard]] std::string with_prefix(std::string_view key) const {
    std::string result;
    for (const char c : key) c == '@' ? result += prefix_ : result += c;
    return result;
  }

  // Learns the number that an id stands for, if it may stand for this one.
  void meet(cas_id id, std::uint64_t number) {
    const auto of = [&](cas_id known) -> std::uint64_t& { return numbers_[static_cast<std::size_t>(known)]; };
    const bool may = id == any || (id == one && of(one) == 0 && number != of(two)) ||
                     (id == two && of(two) == 0 && number != of(one));
    if (may) of(id) = number;
  }

  // An id whose number is not known yet has none that a server gives.
  [[nodiscard]] std::uint64_t number_of(cas_id id) const {
    const std::uint64_t number = numbers_[static_cast<std::size_t>(id)];
    return number == 0 && id != zero ? never_given : number;
  }

  const server_process& server_;
  const dialogue& dialogue_;
  std::string prefix_;
  std::array<std::uint64_t, 5> numbers_{};  // by cas_id
};

// The ways in which a conversation is played.
std::vector<manner> manners(const playing& p, std::size_t turns) {
  constexpr std::size_t cut_everywhere = 600;
  std::vector<manner> all{{0, whole, whole}};
  for (std::size_t turn = 0; turn < turns; turn += p.turns_together()) {
    const std::size_t size = p.bytes(turn).size();
    for (std::size_t cut = 1; cut < size; ++cut) {
      const bool telling = cut <= 60 || cut + 30 >= size || cut % (size / 8 + 1) == 0;
      if (size <= cut_everywhere || telling) all.push_back({turn, cut, whole});
    }
    if (size <= cut_everywhere) all.push_back({turn, 1, 1});
  }
  return all;
}

std::string description(const manner& how) {
  const std::string turn = "turn " + std::to_string(how.turn + 1) + " ";
  if (how.first == whole) return turn + "in one piece";
  if (how.piece == 1) return turn + "a byte at a time";
  return turn + "cut after byte " + std::to_string(how.first);
}

}  // namespace

std::string big_endian(std::uint64_t number, std::size_t size) {
  std::string bytes;
  for (std::size_t i = size; i-- > 0;) bytes += static_cast<char>(number >> 8 * i);
  return bytes;
}

std::string encode(const request& r, std::uint64_t opaque, std::uint64_t cas) {
  const std::string body = r.extras + r.key + r.value;
  return encode_header({r.magic, r.op, r.keylen.value_or(r.key.size()), r.extlen.value_or(r.extras.size()), r.data_type,
                        r.vbucket, r.bodylen.value_or(body.size()), opaque, cas}) +
         body;
}

std::string encode(const reply& r, opcode op, std::uint64_t opaque, std::uint64_t cas) {
  const std::string body = r.extras + r.key + r.value;
  return encode_header({0x81, op, r.key.size(), r.extras.size(), 0, r.status, body.size(), opaque, cas}) + body;
}

std::uint64_t packet::number(std::size_t position, std::size_t size) const {
  std::uint64_t number = 0;
  for (const char byte : bytes.substr(position, size)) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

packet receive_packet(client& c) {
  packet p{c.receive(24)};
  if (p.bytes.size() == 24) p.bytes += c.receive(p.number(8, 4));
  return p;
}

packet ask(client& c, const request& r) {
  c.send(encode(r));
  return receive_packet(c);
}

void play(const server_process& server, std::span<const dialogue> table) {
  constexpr std::size_t unanswered_at_most = 3;
  std::size_t number = 0;
  std::size_t unanswered = 0;
  for (const dialogue& d : table) {
    for (const manner& how : manners({server, d, 0}, d.turns.size())) {
      const auto start = std::chrono::steady_clock::now();
      const std::optional<std::string> problem = playing{server, d, number++}.problem(how);
      if (!problem) continue;
      const std::string message = d.name + ", sent " + description(how) + ":\n  " + *problem;
      FAIL_CHECK(message);
      if (std::chrono::steady_clock::now() - start >= under_test().deadline) ++unanswered;
      break;
    }
    if (unanswered == unanswered_at_most) {
      FAIL_CHECK("so many deadlines have passed that the rest of the table is not played");
      return;
    }
  }
  CHECK(number >= table.size());
}

}  // namespace contract::packets
