// Numbers that are all of a text.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

// nullopt: something else stands before, in or behind it, or it is too large. `format`: what std::from_chars takes, the
// base of an integer for instance.
template <typename number>
[[nodiscard]] std::optional<number> parsed(std::string_view text, auto... format) noexcept {
  number n{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, n, format...);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return n;
}
