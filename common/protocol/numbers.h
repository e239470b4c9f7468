// Numbers as the text protocol reads them: words that C's strtoll and strtoull take, since memcached reads them with
// those.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "common/basics/decimal.h"

namespace protocol {

// -2^63 to 2^63 - 1.
[[nodiscard]] inline std::optional<std::int64_t> signed_number(std::string_view word) noexcept {
  const auto number = decimal::read_number(word);
  if (!number || !number->ends_as_a_word()) return std::nullopt;
  const std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  if (number->magnitude > largest + (number->negative ? 1 : 0)) return std::nullopt;
  return static_cast<std::int64_t>(number->negative ? 0 - number->magnitude : number->magnitude);
}

// 0 to 2^64 - 1. strtoull() counts a negative number back from 2^64; memcached refuses it only where the result is 2^63
// or more, so "-0" is 0, "-1" is refused, and "-18446744073709551615" is 1.
[[nodiscard]] inline std::optional<std::uint64_t> unsigned_number(std::string_view word) noexcept {
  const auto number = decimal::read_number(word);
  if (!number || !number->ends_as_a_word()) return std::nullopt;
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
