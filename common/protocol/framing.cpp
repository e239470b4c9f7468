// How far a request and a reply go.
#include "common/protocol/framing.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "common/basics/decimal.h"
#include "common/protocol/environment.h"
#include "common/protocol/tokens.h"

namespace protocol {

namespace {

constexpr std::size_t most_blanks = 100;  // before a get that may be long

// A length is read as a number of 31 bits, and has its line end added.
constexpr std::size_t most_length = std::numeric_limits<std::int32_t>::max() - 2;

constexpr std::size_t most_flags = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t most_exptime = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t most_cas = std::numeric_limits<std::uint64_t>::max();

constexpr std::string_view unknown = "ERROR\r\n";
constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format\r\n";
constexpr std::string_view too_large = "SERVER_ERROR object too large for cache\r\n";

// What a proxy passes on, besides get and gets. A line has at least and at most so many words; a noreply is counted
// only where there is a value.
struct command_row {
  std::string_view name;
  request_kind kind;
  std::size_t fewest;
  std::size_t most;
  bool has_value = false;
  bool can_be_silent = true;
};

constexpr std::array<command_row, 14> commands{{
    {"set", request_kind::keyed, 5, 6, true},
    {"add", request_kind::keyed, 5, 6, true},
    {"replace", request_kind::keyed, 5, 6, true},
    {"append", request_kind::keyed, 5, 6, true},
    {"prepend", request_kind::keyed, 5, 6, true},
    {"cas", request_kind::keyed, 6, 7, true},
    {"delete", request_kind::keyed, 2, 3},
    {"incr", request_kind::keyed, 3, 3},
    {"decr", request_kind::keyed, 3, 3},
    {"touch", request_kind::keyed, 3, 3},
    {"flush_all", request_kind::general, 1, 2},
    {"verbosity", request_kind::general, 1, 2},
    {"version", request_kind::local, 1, 1, false, false},
    {"stats", request_kind::general, 1, tokens::most, false, false},
}};

// What a reply may begin with, besides a number. VALUE is looked for first.
constexpr std::array<std::string_view, 16> reply_words{
    "END",     "STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED",      "TOUCHED", "OK",
    "VERSION", "RESET",  "STAT",       "ITEM",   "PREFIX",    "SERVER_ERROR", "ERROR",   "CLIENT_ERROR",
};

// Digits, and nothing else. nullopt: no number, or too large a one.
std::optional<std::size_t> plain_number(std::string_view word) noexcept {
  const auto number = decimal::read_digits(word);
  if (!number || !number->rest.empty()) return std::nullopt;
  return number->value;
}

// Whether the word is a number up to `most`, which every server can hold.
bool is_number(std::string_view word, std::size_t most) noexcept {
  const auto number = plain_number(word);
  return number && *number <= most;
}

// set <key> <flags> <exptime> <bytes>, and cas with one word more. `fitting`: it has no word too many, so the length is
// where it should be, whatever is wrong with the rest.
void frame_value(request_frame& frame, const tokens& words, bool fitting) noexcept {
  std::string_view exptime = words[3];
  if (exptime.starts_with('-')) exptime.remove_prefix(1);
  const auto length = plain_number(words[4]);
  const bool can_be_read = length && *length <= most_length;
  const bool numbers = is_number(words[2], most_flags) && is_number(exptime, most_exptime) && can_be_read &&
                       (frame.command != "cas" || is_number(words[5], most_cas));
  const bool good = numbers && frame.key.size() <= key_max_length;
  if (can_be_read) frame.value_bytes = *length + 2;
  if (!good) {
    frame.refusal = bad_format;
    frame.out_of_step = !can_be_read || !fitting;
  } else if (*length > largest_value) {
    frame.refusal = too_large;
  }
}

// get <key>+, and gat <exptime> <key>+: `first` is the number of the first key.
void frame_retrieval(request_frame& frame, std::string_view line, const tokens& words, std::size_t first) noexcept {
  frame.kind = request_kind::retrieval;
  frame.key = words[first];
  frame.many_keys = words.size() > first + 1;
  if (frame.key.empty()) {
    frame.refusal = unknown;
    return;
  }
  frame.keys = line.substr(static_cast<std::size_t>(frame.key.data() - line.data()));
  frame.keys = frame.keys.substr(0, frame.keys.find('\0'));
}

}  // namespace

request_frame frame_request(std::string_view line) noexcept {
  const tokens words(line);
  request_frame frame;
  frame.command = words[0];
  if (frame.command == "get" || frame.command == "gets") {
    frame_retrieval(frame, line, words, 1);
    return frame;
  }
  if (frame.command == "quit" && words.size() == 1) {
    frame.kind = request_kind::quit;
    return frame;
  }
  const auto* const row = std::ranges::find(commands, frame.command, &command_row::name);
  const bool touches = frame.command == "gat" || frame.command == "gats";
  if ((row == commands.end() && !touches) || too_long(line)) {
    frame.refusal = unknown;
    frame.out_of_step = true;
    return frame;
  }
  if (touches) {
    frame_retrieval(frame, line, words, 2);
    return frame;
  }

  // A last word of "noreply" keeps servers silent even where the line is wrong, but it may be a key. Where it is none
  // of the two, a storage command does not care what it is.
  const std::size_t named = row->kind == request_kind::keyed ? 2 : 1;
  frame.noreply = row->can_be_silent && words.size() > named && words.last() == "noreply";
  const std::size_t size = words.size() - (frame.noreply && !row->has_value ? 1 : 0);
  frame.kind = row->kind;
  if (size < row->fewest || size > row->most) {
    frame.refusal = unknown;
    frame.out_of_step = row->has_value;
    return frame;
  }
  if (row->kind == request_kind::keyed) {
    frame.key = words[1];
    if (row->has_value) {
      frame_value(frame, words, size == row->fewest + (frame.noreply ? 1 : 0));
    } else if (frame.key.size() > key_max_length) {
      frame.refusal = bad_format;
    }
  }
  return frame;
}

bool too_long(std::string_view begin) noexcept {
  if (begin.size() <= longest_line) return false;
  const std::string_view line = begin.substr(std::min(begin.find_first_not_of(' '), most_blanks));
  return begin.size() > (line.starts_with("get ") || line.starts_with("gets ") ? longest_get : longest_line);
}

reply_frame frame_reply(std::string_view line) noexcept {
  const std::string_view word = line.substr(0, line.find(' '));
  if (word == "VALUE") {
    const tokens words(line);
    const auto length = plain_number(words[3]);
    if (!length || *length > largest_value) return {.last = false, .item = true, .valid = false};
    return {.last = false, .item = true, .value_bytes = *length + 2};
  }
  const bool known = std::ranges::find(reply_words, word) != reply_words.end() || plain_number(word).has_value();
  return {.last = word != "STAT" && word != "ITEM" && word != "PREFIX", .valid = known};
}

}  // namespace protocol
