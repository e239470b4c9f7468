// Bytes as a person can read them in a failure message.
#include "printable.h"

#include <algorithm>

namespace contract {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::size_t shown_before = 80;
constexpr std::size_t shown_after = 80;

std::string left_out(std::size_t n) { return n == 0 ? "" : "[" + std::to_string(n) + " bytes]"; }

}  // namespace

std::string printable(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (byte >= 0x20 && byte < 0x7f) {
      text += c;
    } else {
      text += "\\x";
      text += hex_digits[byte >> 4];
      text += hex_digits[byte & 15];
    }
  }
  return text + "\"";
}

std::string printable_around(std::string_view bytes, std::size_t position) {
  const std::size_t middle = std::min(position, bytes.size());
  const std::size_t first = middle - std::min(middle, shown_before);
  const std::size_t last = std::min(bytes.size(), middle + shown_after);
  return left_out(first) + printable(bytes.substr(first, last - first)) + left_out(bytes.size() - last);
}

}  // namespace contract
