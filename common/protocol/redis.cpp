// How far a request and a reply of the Redis protocol go.
#include "common/protocol/redis.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>

namespace protocol::redis {

namespace {

using enum progress;

constexpr std::string_view line_end = "\r\n";
constexpr std::size_t longest_option = std::string_view("STOREDIST").size();

constexpr std::string_view unknown_command = "ERR this proxy knows no such command";
constexpr std::string_view wrong_arity = "ERR wrong number of arguments for ";  // answer_to says whose
constexpr std::string_view no_password = "NOAUTH Authentication required.";
constexpr std::string_view bad_count = "ERR the number of keys must be 1 or more, and as many must follow it";
constexpr std::string_view names_another_key = "ERR STORE names another key, which may be with another server";
constexpr std::string_view key_too_large = "ERR the key is too large for this proxy";

constexpr std::string_view bad_array = "ERR Protocol error: invalid multibulk length";
constexpr std::string_view bad_length = "ERR Protocol error: invalid bulk length";
constexpr std::string_view no_length = "ERR Protocol error: expected '$'";
constexpr std::string_view no_line_end = "ERR Protocol error: a word has no line end where its length says";
constexpr std::string_view inline_command = "ERR Protocol error: this proxy takes no inline command but PING";
constexpr std::string_view too_large = "ERR Protocol error: the request is too large for this proxy";

constexpr step wants_more{0, more};
constexpr step is_broken{0, broken};

bool same_letters(std::string_view word, std::string_view small) noexcept {
  return std::ranges::equal(word, small, {}, small_letter);
}

// There is one way to write each number: "-1", but neither "+1" nor "01".
std::optional<std::int64_t> plain_number(std::string_view word) noexcept {
  const std::string_view digits = word.substr(word.starts_with('-') ? 1 : 0);
  if (digits.starts_with('0') && word != "0") return std::nullopt;
  std::int64_t number = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

// The line at the front, with its end. Empty: none has come whole, and the next search begins behind what was seen.
std::string_view front_line(frame_state& state, std::string_view unread, std::size_t longest) noexcept {
  const std::size_t end = unread.substr(0, longest).find('\n', state.scanned);
  state.scanned = end == std::string_view::npos ? std::min(unread.size(), longest) : 0;
  return end == std::string_view::npos ? std::string_view{} : unread.substr(0, end + 1);
}

std::optional<header> header_of(std::string_view line) noexcept {
  if (!line.ends_with(line_end)) return std::nullopt;
  const auto number = plain_number(line.substr(1, line.size() - 1 - line_end.size()));
  if (!number) return std::nullopt;
  return header{line.front(), *number, line.size()};
}

// As much of a value as has come.
step take_value(frame_state& state, std::string_view unread) noexcept {
  const std::string_view part = unread.substr(0, state.value_left);
  state.value_left -= part.size();
  if (state.value_left < line_end.size()) {
    const std::string_view come = line_end.substr(0, line_end.size() - state.value_left);
    if (!part.ends_with(come.substr(come.size() - std::min(come.size(), part.size())))) return is_broken;
  }
  return {part.size(), more};
}

// --- Requests ---

step break_off(request_frame& f, std::string_view why) noexcept {
  f.error = why;
  return is_broken;
}

bool may_stranger_say(const command_row& row) noexcept {
  return row.how == treatment::auth || row.how == treatment::quit;
}

bool has_right_arity(const command_row& row, std::uint32_t words) noexcept {
  const auto size = static_cast<int>(words);
  if (row.arity > 0 ? size != row.arity : size < -row.arity) return false;
  // "PING", "PING word"; "AUTH password", "AUTH name password".
  if (row.how == treatment::ping || row.how == treatment::auth) return size <= -row.arity + 1;
  return row.last_key != -1 || (size - row.first_key) % row.key_step == 0;
}

void take_name(request_frame& f, std::string_view name) noexcept {
  f.command = find_command(name);
  if (f.command == nullptr) {
    f.error = unknown_command;
  } else if (!has_right_arity(*f.command, f.words)) {
    f.error = wrong_arity;
  } else if (f.is_stranger && !may_stranger_say(*f.command)) {
    f.error = no_password;
  } else if (f.command->how == treatment::refused) {
    f.error = f.command->reason;
  } else {
    f.last_key = static_cast<std::uint32_t>(f.command->last_key) + (f.command->last_key < 0 ? f.words : 0);
  }
}

// "*2\r\n", "PING\r\n", "\r\n".
step begin_request(request_frame& f, std::string_view unread) noexcept {
  const std::string_view line = front_line(f.state, unread, longest_header);
  const bool is_array = unread.starts_with('*');
  if (line.empty()) {
    return unread.size() < longest_header ? wants_more : break_off(f, is_array ? bad_array : inline_command);
  }
  if (!is_array) {
    const std::string_view word = line.substr(0, line.size() - (line.ends_with(line_end) ? line_end.size() : 1));
    if (!word.empty()) {
      if (!same_letters(word, "ping")) return break_off(f, inline_command);
      f.words = f.read = 1;
      take_name(f, word);
    }
    return {line.size(), whole};
  }
  const auto h = header_of(line);
  if (!h || h->number > std::numeric_limits<std::int32_t>::max()) return break_off(f, bad_array);
  if (h->number > most_words) return break_off(f, too_large);
  if (h->number <= 0) return {line.size(), whole};
  f.words = static_cast<std::uint32_t>(h->number);
  return {line.size(), more};
}

void take_count(request_frame& f, std::string_view word) noexcept {
  const auto count = plain_number(word);
  const std::int64_t behind = f.words - f.read;
  if (!count || *count < 1 || *count > behind) {
    f.error = bad_count;
  } else {
    f.last_key = f.read - 1 + static_cast<std::uint32_t>(*count);
  }
}

bool counts_keys(const request_frame& f, std::uint32_t word) noexcept {
  return word != 0 && word == static_cast<std::uint32_t>(f.command->keys_counted_by);
}

// Whether we must see the next word as a whole, which is of this size.
bool is_looked_at(const request_frame& f, std::size_t size) noexcept {
  if (!f.error.empty()) return false;
  if (f.read == 0 || counts_keys(f, f.read)) return size < longest_header;
  return is_key(f, f.read) || (f.command->how == treatment::without_store && size <= longest_option);
}

void take_word(request_frame& f, std::string_view word) noexcept {
  const std::uint32_t number = f.read++;
  if (number == 0) return take_name(f, word);
  if (counts_keys(f, number)) return take_count(f, word);
  if (number == static_cast<std::uint32_t>(f.command->first_key)) f.key = word;
  if (f.command->how == treatment::without_store && !is_key(f, number) &&
      (same_letters(word, "store") || same_letters(word, "storedist"))) {
    f.error = names_another_key;
  }
}

// What we do not look at, or do not want to: it comes in pieces.
step pass_word(request_frame& f, const header& h) noexcept {
  if (f.error.empty()) {
    if (f.read == 0)
      f.error = unknown_command;
    else if (counts_keys(f, f.read))
      f.error = bad_count;
  }
  ++f.read;
  f.state.value_left = size_of_value(h) - h.size;
  return {h.size, more};
}

step next_word(request_frame& f, std::string_view unread) noexcept {
  if (unread.empty()) return wants_more;
  if (unread.front() != '$') return break_off(f, no_length);
  const std::string_view line = front_line(f.state, unread, longest_header);
  if (line.empty()) return unread.size() < longest_header ? wants_more : break_off(f, bad_length);
  const auto h = header_of(line);
  if (!h || h->number < 0 || h->number > static_cast<std::int64_t>(largest_value)) return break_off(f, bad_length);
  const std::size_t size = size_of_value(*h);
  if (f.state.size + size > largest_message) return break_off(f, too_large);
  const auto length = static_cast<std::size_t>(h->number);
  if (f.read > 0 && f.error.empty() && length > largest_key && is_key(f, f.read)) f.error = key_too_large;
  if (!is_looked_at(f, length)) return pass_word(f, *h);
  if (unread.size() < size) return wants_more;
  if (unread.substr(h->size + length, line_end.size()) != line_end) return break_off(f, no_line_end);
  take_word(f, unread.substr(h->size, length));
  return {size, more};
}

step next_of_request(request_frame& f, std::string_view unread) noexcept {
  if (f.words == 0) return begin_request(f, unread);
  if (f.state.value_left > 0) {
    const step s = take_value(f.state, unread);
    return s.so_far == broken ? break_off(f, no_line_end) : s;
  }
  return f.read == f.words ? step{0, whole} : next_word(f, unread);
}

// --- Replies ---

// An element ends, and with it whatever array it is the last one of.
progress end_element(reply_frame& f) noexcept {
  while (f.depth > 0 && --f.wanted[f.depth - 1] == 0) --f.depth;
  return f.depth == 0 ? whole : more;
}

step begin_array(reply_frame& f, const header& h) noexcept {
  if (h.number < -1 || h.number > std::numeric_limits<std::int32_t>::max()) return is_broken;
  if (h.number <= 0) return {h.size, end_element(f)};
  if (f.depth == f.wanted.size()) return is_broken;
  f.wanted[f.depth++] = static_cast<std::uint32_t>(h.number);
  return {h.size, more};
}

step begin_value(reply_frame& f, const header& h) noexcept {
  if (h.number < -1 || h.number > static_cast<std::int64_t>(largest_value)) return is_broken;
  if (h.number == -1) return {h.size, end_element(f)};
  f.state.value_left = size_of_value(h) - h.size;
  if (f.state.size + h.size + f.state.value_left > largest_message) return is_broken;
  return {h.size, more};
}

// A line that tells something itself, or what comes next.
step next_line(reply_frame& f, std::string_view unread) noexcept {
  const std::string_view line = front_line(f.state, unread, longest_line);
  if (line.empty()) return unread.size() < longest_line ? wants_more : is_broken;
  if (!line.ends_with(line_end) || f.state.size + line.size() > largest_message) return is_broken;
  const bool is_first = f.state.size == 0;
  const char type = line.front();
  if (is_first) f.type = type;
  if (f.depth == 1 && type != '$') f.only_values = false;
  if (type == '+' || type == '-') return {line.size(), end_element(f)};

  const auto h = header_of(line);
  if (!h) return is_broken;
  if (type == ':') return {line.size(), end_element(f)};
  if (type == '$') return begin_value(f, *h);
  if (type != '*') return is_broken;
  if (is_first) f.elements = h->number;
  return begin_array(f, *h);
}

step next_of_reply(reply_frame& f, std::string_view unread) noexcept {
  if (f.state.value_left == 0) return next_line(f, unread);
  step s = take_value(f.state, unread);
  if (s.so_far == more && f.state.value_left == 0) s.so_far = end_element(f);
  return s;
}

// One look after the other, until a frame is whole, or broken, or wants more.
template <typename Frame>
step take_all(Frame& f, std::string_view unread, step (*next)(Frame&, std::string_view) noexcept) noexcept {
  std::size_t taken = 0;
  for (;;) {
    const step s = next(f, unread.substr(taken));
    taken += s.bytes;
    f.state.size += s.bytes;
    if (s.so_far != more || s.bytes == 0) return {taken, s.so_far};
  }
}

}  // namespace

step frame_request(request_frame& f, std::string_view unread) noexcept { return take_all(f, unread, next_of_request); }

step frame_reply(reply_frame& f, std::string_view unread) noexcept { return take_all(f, unread, next_of_reply); }

bool is_key(const request_frame& f, std::uint32_t word) noexcept {
  if (f.last_key == 0) return false;
  const auto first = static_cast<std::uint32_t>(f.command->first_key);
  const auto counted_by = static_cast<std::uint32_t>(f.command->keys_counted_by);
  if (word == first) return true;
  const std::uint32_t from = counted_by > 0 ? counted_by + 1 : first;
  return from <= word && word <= f.last_key && (word - from) % static_cast<std::uint32_t>(f.command->key_step) == 0;
}

std::string answer_to(const request_frame& f) {
  std::string answer = "-" + std::string(f.error);
  if (f.error == wrong_arity) answer += "'" + std::string(f.command->name) + "' command";
  return answer += line_end;
}

std::optional<header> read_header(std::string_view bytes) noexcept {
  return header_of(bytes.substr(0, bytes.find('\n') + 1));
}

}  // namespace protocol::redis
