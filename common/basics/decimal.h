// Decimal numbers at the front of a text: what C's strtoull takes, since memcached reads them with it.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace decimal {

[[nodiscard]] constexpr bool is_white_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Thread: a plain value.
struct leading_digits {
  std::uint64_t value;
  std::string_view rest;  // what follows the last digit
};

// Digits, and then anything. nullopt: the first is none, or they make more than 64 bits.
[[nodiscard]] inline std::optional<leading_digits> read_digits(std::string_view text) noexcept {
  const char* const end = text.data() + text.size();
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{}) return std::nullopt;
  return leading_digits{value, {stop, static_cast<std::size_t>(end - stop)}};
}

// Thread: a plain value.
struct leading_number {
  bool negative;
  std::uint64_t magnitude;
  std::string_view rest;

  // Nothing follows, or white space and then anything.
  [[nodiscard]] bool ends_as_a_word() const noexcept { return rest.empty() || is_white_space(rest.front()); }
};

// The same, after white space and one sign, both of which may be missing.
[[nodiscard]] inline std::optional<leading_number> read_number(std::string_view text) noexcept {
  while (!text.empty() && is_white_space(text.front())) text.remove_prefix(1);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto read = read_digits(text);
  if (!read) return std::nullopt;
  return leading_number{negative, read->value, read->rest};
}

}  // namespace decimal
