// How far a request and a reply go. For a proxy: it passes both on as they are, but must know where they end, or it
// would give one client another one's reply.
#pragma once

#include <cstddef>
#include <string_view>

namespace protocol {

// Bytes without a line end that begin like a get may be a long one, of several thousand keys. Others of this length are
// no line at all.
inline constexpr std::size_t longest_get = std::size_t{1} << 20;
inline constexpr std::size_t longest_line = 1022;  // a server that has 1,024 of them, and no line end, hangs up

// The largest value that any server could take: the largest -I.
inline constexpr std::size_t largest_value = std::size_t{128} << 20;

enum class request_kind : unsigned char {
  retrieval,  // get, gets, gat and gats: names keys, as many as it likes
  keyed,      // names one key
  general,    // names none: stats, flush_all, verbosity
  local,      // version: the proxy answers, and no server needs to hear of it
  quit,       // the client leaves: the same
};

// Plain values; the views point into the line.
struct request_frame {
  request_kind kind = request_kind::general;
  std::string_view command;
  std::string_view key;         // the first, where it names keys
  std::string_view keys;        // of a retrieval: all of them, with blanks between
  bool many_keys = false;       // there are others
  std::size_t value_bytes = 0;  // how many follow the line, with the value's line end
  bool noreply = false;         // there will be no reply, not even a refusal
  std::string_view refusal;     // not empty: no server must see this. The answer; a value is to be thrown away
  bool out_of_step = false;     // and nobody can tell where the next request begins: hang up
};

struct reply_frame {
  bool last = true;             // no other line belongs to this reply
  bool item = false;            // a VALUE line
  std::size_t value_bytes = 0;  // how many follow the line, with the value's line end
  bool valid =
      true;  // false: no server says this; or a VALUE line that does not say how long its value is, or too long
};

// `line` is without its line end. Nothing is passed on that servers do not agree about, how many bytes or how many
// replies it is: on a connection that many clients share it would put all of them out of step. So an unknown command is
// refused, which a newer server may read a value for; and a storage command with a number that is none, whose value
// some servers take for the next command. No byte of a value must be taken for a command here either: after a line that
// may announce one, of a length that cannot be told, the client is `out_of_step`. Source: protocol.txt, and 1.5's for
// gat and gats; limits and texts are 1.4.25's.
[[nodiscard]] request_frame frame_request(std::string_view line) noexcept;

// Whether these bytes before a line end, or before one that has not come yet, are more than any line has.
[[nodiscard]] bool too_long(std::string_view begin) noexcept;

// `line` is without its line end. A reply is one line, except that lines of VALUE, STAT, ITEM and PREFIX have others
// after them, END the last. It begins with a word that the protocol has, or is a number. Source: protocol.txt.
[[nodiscard]] reply_frame frame_reply(std::string_view line) noexcept;

}  // namespace protocol
