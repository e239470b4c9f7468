// Fuzz target: how a proxy cuts messages out of a stream that comes in any pieces. Built once for each of them, with
// its sources.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nc_mbuf.h"
#include "nc_message.h"
#include "tests/fuzz/conversation.h"

namespace {

// Small blocks, so that messages cross from one to the next; a read gets less than this.
constexpr std::size_t block_size = 512;

// An input is a plan of eight bytes, and then the stream. The first byte says whose it is; the others, over and over,
// how many bytes come at once (0: all that are left).
constexpr std::size_t plan_size = 8;

// The proxies grow, and these templates hide it.

template <typename message>
std::string key_of(const message& m) {
  if constexpr (requires { m.key; }) {
    return std::string(m.key);
  } else {
    return "";
  }
}

// With a second protocol the first one's parser has a name of its own.
template <typename message>
msg_parse_result parse_message(message& m, mbuf& in) {
  if constexpr (requires { memcache_parse(m, in); }) {
    return memcache_parse(m, in);
  } else {
    return msg_parse(m, in);
  }
}

// Only the response to a fragment is taken apart again.
template <typename message>
void want_items(message& m) {
  if constexpr (requires { m.of_fragment; }) m.of_fragment = true;
}

template <typename message>
std::vector<std::size_t> items_of(const message& m) {
  if constexpr (requires { m.items; }) {
    return m.items;
  } else {
    return {};
  }
}

std::string bytes_of(const msg& m) {
  std::string bytes;
  for (const slice& piece : m.mhdr.slices()) bytes += piece.bytes;
  if (bytes.size() != m.mhdr.size()) fuzz::fail("the slices are not as long as the message");
  return bytes;
}

// What there is to know about a message when the stream is over.
struct summary {
  bool operator==(const summary&) const = default;

  std::string bytes;
  protocol::request_kind kind;
  std::string key;
  bool noreply;
  bool out_of_step;
  std::string refusal;
  std::vector<std::size_t> items;
};

// Reads as msg_recv does, but keeps every message, and throws away what belongs to a refused value as req_recv_next
// does. Owns: the messages and the buffer.
class reader {
 public:
  explicit reader(bool requests) : requests_(requests) {}

  // `piece` comes at once; each read takes what there is room for.
  void read(std::string_view piece) {
    while (!piece.empty() && !broken_) {
      const std::span<char> room = in_.room();
      if (room.empty()) fuzz::fail("there is no room to read into");
      const std::size_t n = std::min(room.size(), piece.size());
      std::ranges::copy(piece.substr(0, n), room.begin());
      in_.filled(n);
      piece.remove_prefix(n);
      read_ += n;
      parse();
    }
    in_.give_back();
  }

  [[nodiscard]] bool broken() const noexcept { return broken_; }
  [[nodiscard]] std::size_t read_so_far() const noexcept { return read_; }

  // All that was read, put together from the messages and from what is in none of them.
  [[nodiscard]] std::string stream() const {
    std::string all;
    for (const part& p : parts_) all += bytes_of(*p.message) + p.swallowed;
    return all + std::string(in_.unread());
  }

  // Of the messages that are whole.
  [[nodiscard]] std::vector<summary> messages() const {
    std::vector<summary> all;
    for (const part& p : parts_) {
      const msg& m = *p.message;
      if (p.whole)
        all.push_back({bytes_of(m), m.kind, key_of(m), m.noreply, m.out_of_step, std::string(m.refusal), items_of(m)});
    }
    return all;
  }

 private:
  struct part {
    std::unique_ptr<msg> message;
    bool whole = false;
    std::string swallowed = {};
  };

  void parse() {
    for (;;) {
      if (swallow_ > 0) swallow();
      if (swallow_ > 0) return;
      if (parts_.empty() || parts_.back().whole) parts_.push_back({std::make_unique<msg>(requests_, nullptr)});
      part& last = parts_.back();
      want_items(*last.message);
      switch (parse_message(*last.message, in_)) {
        case MSG_PARSE_OK: break;
        case MSG_PARSE_AGAIN: return;
        case MSG_PARSE_ERROR: broken_ = true; return;
      }
      last.whole = true;
      if (!last.message->refusal.empty()) swallow_ = last.message->vlen;
      broken_ = last.message->out_of_step;
      if (broken_) return;
    }
  }

  void swallow() {
    const std::string_view bytes = in_.unread().substr(0, swallow_);
    parts_.back().swallowed += bytes;
    swallow_ -= bytes.size();
    in_.skip(bytes.size());
  }

  bool requests_;
  block_pool blocks_{block_size};
  mbuf in_{blocks_};
  std::vector<part> parts_;
  std::size_t swallow_ = 0;
  std::size_t read_ = 0;
  bool broken_ = false;
};

// Each item of a reply begins with its header, and there is room for all of them.
void check_items(const summary& m) {
  std::string_view rest = m.bytes;
  for (const std::size_t size : m.items) {
    if (!rest.starts_with("VALUE ") || size > rest.size()) fuzz::fail("an item is not where it should be:\n" + m.bytes);
    rest.remove_prefix(size);
  }
}

void check(const reader& r, std::string_view input) {
  if (r.stream() != input.substr(0, r.read_so_far())) fuzz::fail("the messages are not what was read:\n" + r.stream());
  for (const summary& m : r.messages()) check_items(m);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < plan_size) return 0;
  const std::span<const std::uint8_t> plan(data, plan_size);
  const std::string_view input(reinterpret_cast<const char*>(data) + plan_size, size - plan_size);
  const bool requests = (plan[0] & 1) != 0;

  reader at_once(requests);
  at_once.read(input);
  check(at_once, input);

  reader in_pieces(requests);
  std::string_view left = input;
  for (std::size_t i = 0; !left.empty(); ++i) {
    const std::size_t wanted = plan[1 + i % (plan_size - 1)];
    const std::string_view piece = left.substr(0, wanted == 0 ? left.size() : wanted);
    in_pieces.read(piece);
    left.remove_prefix(piece.size());
  }
  check(in_pieces, input);

  if (in_pieces.broken() != at_once.broken()) fuzz::fail("whether this is an error hangs on how it comes");
  if (in_pieces.messages() != at_once.messages()) fuzz::fail("what the messages are hangs on how they come");
  return 0;
}
