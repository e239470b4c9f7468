// What clients chose, as part of a line of text.
#pragma once

#include <string>
#include <string_view>

namespace storage {

// Bytes below `lowest` and DEL become \xNN. All others stay, so that what is in UTF-8 can be read. Throws
// std::bad_alloc.
[[nodiscard]] inline std::string printable(std::string_view text, unsigned char lowest) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= lowest && byte != 0x7f) {
      shown += c;
    } else {
      shown.append("\\x").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
    }
  }
  return shown;
}

// A key that came in a binary request may hold any byte. Here none ends the word, or the line.
[[nodiscard]] inline std::string printable_word(std::string_view text) { return printable(text, ' ' + 1); }

// The same where blanks do no harm.
[[nodiscard]] inline std::string printable_line(std::string_view text) { return printable(text, ' '); }

}  // namespace storage
