// Numbers as the text protocol reads them: what C's strtoll and strtoull take, since memcached reads them with those.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

namespace protocol {

[[nodiscard]] constexpr bool is_white_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct signed_magnitude {
  bool negative;
  std::uint64_t magnitude;
};

// White space and one sign may stand before the digits; behind them the word ends, or white space and then anything
// follows. nullopt: no such number, or more than 64 bits of it.
[[nodiscard]] inline std::optional<signed_magnitude> read_number(std::string_view word) noexcept {
  while (!word.empty() && is_white_space(word.front())) word.remove_prefix(1);
  const bool negative = word.starts_with('-');
  if (negative || word.starts_with('+')) word.remove_prefix(1);

  const char* const end = word.data() + word.size();
  std::uint64_t magnitude = 0;
  const auto [stop, error] = std::from_chars(word.data(), end, magnitude);
  if (error != std::errc{} || (stop != end && !is_white_space(*stop))) return std::nullopt;
  return signed_magnitude{negative, magnitude};
}

// -2^63 to 2^63 - 1.
[[nodiscard]] inline std::optional<std::int64_t> signed_number(std::string_view word) noexcept {
  const auto number = read_number(word);
  if (!number) return std::nullopt;
  const std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  if (number->magnitude > largest + (number->negative ? 1 : 0)) return std::nullopt;
  return static_cast<std::int64_t>(number->negative ? 0 - number->magnitude : number->magnitude);
}

// 0 to 2^64 - 1. strtoull() counts a negative number back from 2^64; memcached refuses it only where the result is 2^63
// or more, so "-0" is 0, "-1" is refused, and "-18446744073709551615" is 1.
[[nodiscard]] inline std::optional<std::uint64_t> unsigned_number(std::string_view word) noexcept {
  const auto number = read_number(word);
  if (!number) return std::nullopt;
  if (!number->negative) return number->magnitude;
  const std::uint64_t wrapped = 0 - number->magnitude;
  if (wrapped >> 63 != 0) return std::nullopt;
  return wrapped;
}

// The same, cut to their low 32 bits as memcached cuts them: 4294967296 is 0, 2147483648 is -2147483648.
[[nodiscard]] inline std::optional<std::int32_t> signed_32(std::string_view word) noexcept {
  const auto number = signed_number(word);
  if (!number) return std::nullopt;
  return static_cast<std::int32_t>(*number);
}

[[nodiscard]] inline std::optional<std::uint32_t> unsigned_32(std::string_view word) noexcept {
  const auto number = unsigned_number(word);
  if (!number) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

}  // namespace protocol
