// common/protocol/numbers.h: what counts as a number, at every limit.
#include "common/protocol/numbers.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

using protocol::signed_32;
using protocol::signed_number;
using protocol::unsigned_32;
using protocol::unsigned_number;

TEST_CASE("signed numbers reach from -2^63 to 2^63 - 1") {
  CHECK(signed_number("0") == 0);
  CHECK(signed_number("-0") == 0);
  CHECK(signed_number("+7") == 7);
  CHECK(signed_number("-7") == -7);
  CHECK(signed_number("007") == 7);
  CHECK(signed_number("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  CHECK(signed_number("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
  CHECK_FALSE(signed_number("9223372036854775808"));
  CHECK_FALSE(signed_number("-9223372036854775809"));
  CHECK_FALSE(signed_number("99999999999999999999999"));
}

TEST_CASE("unsigned numbers reach from 0 to 2^64 - 1") {
  CHECK(unsigned_number("0") == 0u);
  CHECK(unsigned_number("+5") == 5u);
  CHECK(unsigned_number("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
  CHECK_FALSE(unsigned_number("18446744073709551616"));
}

TEST_CASE("a negative unsigned number is refused unless it wraps below 2^63") {
  CHECK_FALSE(unsigned_number("-1"));
  CHECK_FALSE(unsigned_number("-9223372036854775808"));
  CHECK(unsigned_number("-0") == 0u);
  CHECK(unsigned_number("-9223372036854775809") == 9223372036854775807u);
  CHECK(unsigned_number("-18446744073709551615") == 1u);
  CHECK_FALSE(unsigned_number("-18446744073709551616"));
}

TEST_CASE("white space may stand before a number, and with anything behind it after one") {
  CHECK(signed_number("\t\v 12") == 12);
  CHECK(signed_number("12\r") == 12);
  CHECK(signed_number("12\tfoo") == 12);
  CHECK(unsigned_number(" -0\n") == 0u);
  CHECK_FALSE(signed_number("- 12"));
}

TEST_CASE("what is not a number") {
  for (const auto* word : {"", " ", "-", "+", "--1", "+-1", "-+1", "x", "1x", "0x10", "1.5", "1e3", "\x80"}) {
    CAPTURE(word);
    CHECK_FALSE(signed_number(word));
    CHECK_FALSE(unsigned_number(word));
  }
}

TEST_CASE("32-bit numbers are cut, not refused, as long as 64 bits hold them") {
  CHECK(signed_32("2147483647") == 2147483647);
  CHECK(signed_32("2147483648") == std::numeric_limits<std::int32_t>::min());
  CHECK(signed_32("4294967297") == 1);
  CHECK(signed_32("-1") == -1);
  CHECK_FALSE(signed_32("9223372036854775808"));
  CHECK(unsigned_32("4294967295") == 4294967295u);
  CHECK(unsigned_32("4294967296") == 0u);
  CHECK(unsigned_32("18446744073709551615") == 4294967295u);
  CHECK_FALSE(unsigned_32("18446744073709551616"));
  CHECK_FALSE(unsigned_32("-1"));
}
