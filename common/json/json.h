// A text in JSON, piece by piece.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace json {

// Whatever the name holds.
inline void append_quoted(std::string& text, std::string_view name) {
  text += '"';
  for (const char c : name) {
    if (c == '"' || c == '\\') {
      text += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape;
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      text += escape.data();
    } else {
      text += c;
    }
  }
  text += '"';
}

// With a comma behind it.
inline void append_member(std::string& text, std::string_view name, std::int64_t value) {
  append_quoted(text, name);
  text += ":" + std::to_string(value) + ", ";
}

// Takes the comma back that has nothing behind it.
inline void close_object(std::string& text) {
  if (text.ends_with(", ")) text.resize(text.size() - 2);
  text += "}";
}

}  // namespace json
