// The commands of Redis, and what a proxy does with each. Names, numbers of words and places of keys are those of Redis
// 7.0 (COMMAND INFO).
#pragma once

#include <string_view>

namespace protocol::redis {

enum class treatment : unsigned char {
  one_server,     // passed on; all of its keys must be with one server
  without_store,  // the same, unless a word says STORE: then it names another key, at a place that we do not look for
  any_server,     // passed on, and names no key
  joined_array,   // may go to several servers, each with its keys; the answer is the values, in the order of the keys
  joined_sum,     // the same, and the answer is a number
  joined_status,  // the same, and the answer is OK, or what went wrong
  ping,           // answered by the proxy, as the next three are
  echo,
  auth,
  quit,
  refused,
};

// Words are counted from 0, the command's name.
struct command_row {
  std::string_view name;  // in small letters
  int arity;              // how many words there are; -3: at least 3
  int first_key;          // 0: it names none
  int last_key;           // -1: the last word
  int key_step;           // from one key to the next
  treatment how;
  std::string_view reason = {};  // why it is refused
  int keys_counted_by = 0;       // not 0: this word says how many keys come right after it. The first may be elsewhere

  [[nodiscard]] bool may_be_split() const noexcept {
    return how == treatment::joined_array || how == treatment::joined_sum || how == treatment::joined_status;
  }
};

[[nodiscard]] constexpr char small_letter(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// In letters of any size. nullptr: there is none of this name.
[[nodiscard]] const command_row* find_command(std::string_view name) noexcept;

}  // namespace protocol::redis
