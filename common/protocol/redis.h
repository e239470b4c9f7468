// How far a request and a reply of the Redis protocol go (RESP, version 2), and which keys a request names. For a
// proxy, as framing.h is for memcached's.
//
//     *2\r\n  $3\r\n GET\r\n  $1\r\n k\r\n        a request: an array of words, each with its length before it
//     +OK\r\n   -ERR why\r\n   :7\r\n   $5\r\n hello\r\n   $-1\r\n   *2\r\n …           replies; arrays lie in arrays
//
// A frame is read as its bytes come, in any pieces. Whoever reads takes the bytes that belong to it from the front of
// the stream, and shows the rest again when more has come behind it. Of what was shown before, no more than a word's
// length is read again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/protocol/redis_commands.h"

namespace protocol::redis {

// Redis' own limit of a value. And what we hold of one message: more would be one client's, or one server's, alone.
inline constexpr std::size_t largest_value = std::size_t{512} << 20;
inline constexpr std::size_t largest_message = largest_value + (std::size_t{1} << 20);

inline constexpr std::uint32_t most_words = 1 << 20;               // of a request
inline constexpr std::size_t largest_key = std::size_t{1} << 20;   // it is looked at as a whole
inline constexpr std::size_t longest_header = 64;                  // "*2\r\n", "$3\r\n", "PING\r\n"
inline constexpr std::size_t longest_line = std::size_t{1} << 16;  // "+OK\r\n", "-ERR why\r\n"
inline constexpr std::size_t most_depth = 32;                      // of arrays in arrays

enum class progress : unsigned char {
  whole,
  more,    // it wants bytes that have not come yet
  broken,  // these bytes are no frame, and nobody can say where the next one begins
};

// What the reading of a frame knows, from one piece of the stream to the next. Plain values.
struct frame_state {
  std::size_t size = 0;        // of what has been taken
  std::size_t value_left = 0;  // so much of a value is still to come, with its line end
  std::size_t scanned = 0;     // so many bytes of what was shown last hold no line end
};

// Plain values; `key` points into what was shown to frame_request.
struct request_frame {
  bool is_stranger = false;              // set by whoever reads: it has yet to say the password, and may nothing else
  const command_row* command = nullptr;  // nullptr: it asks for nothing, or its name is no command's, or has not come
  std::uint32_t words = 0;               // how many there are, the name among them
  std::uint32_t read = 0;                // how many of them have come
  std::uint32_t last_key = 0;            // the last word that is a key; 0: none is
  std::string_view key;                  // the first
  std::string_view error;                // not empty: no server must see this. Most of the answer; see answer_to
  frame_state state;

  [[nodiscard]] bool asks_for_nothing() const noexcept { return words == 0; }
  [[nodiscard]] bool many_keys() const noexcept {
    return command != nullptr && last_key > static_cast<std::uint32_t>(command->first_key);
  }
};

// Plain values.
struct reply_frame {
  char type = 0;              // its first byte, one of + - : $ *
  std::int64_t elements = 0;  // of an array: how many; -1: it is none
  bool only_values = true;    // of an array: each is a value, or says that there is none
  std::size_t depth = 0;      // how many arrays are under way, and how many elements each still wants
  std::array<std::uint32_t, most_depth> wanted;
  frame_state state;
};

// How many bytes from the front of what was shown belong to the frame; and whether others do.
struct step {
  std::size_t bytes;
  progress so_far;
};

// The name of the command, its keys, and all words of a command that the proxy answers come in one piece each, with
// their lengths. A request with an `error` goes on to its end: its words are to be thrown away. Inline commands are
// none, except PING and an empty line. Source: redis.io, "RESP protocol spec"; limits and texts are those of Redis 7.0.
[[nodiscard]] step frame_request(request_frame& f, std::string_view unread) noexcept;

// Whether the word of this number is a key. The request must be whole.
[[nodiscard]] bool is_key(const request_frame& f, std::uint32_t word) noexcept;

// "-ERR …\r\n": the answer to a request with an `error`.
[[nodiscard]] std::string answer_to(const request_frame& f);

// Each line of a reply comes in one piece.
[[nodiscard]] step frame_reply(reply_frame& f, std::string_view unread) noexcept;

// "*2\r\n", "$3\r\n", ":7\r\n".
struct header {
  char type;
  std::int64_t number;
  std::size_t size;  // with its line end
};

// At the front of bytes that hold it whole. nullopt: this is none.
[[nodiscard]] std::optional<header> read_header(std::string_view bytes) noexcept;

// Of how many bytes a word or a value is, from its header to its line end. "$-1\r\n": it has none but the header.
[[nodiscard]] constexpr std::size_t size_of_value(const header& h) noexcept {
  return h.number < 0 ? h.size : h.size + static_cast<std::size_t>(h.number) + 2;
}

}  // namespace protocol::redis
