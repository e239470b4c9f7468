// common/basics/decimal.h: where a number begins, where it ends, and how large it may be.
#include "common/basics/decimal.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string_view>

using decimal::read_digits;
using decimal::read_number;

TEST_CASE("decimal: digits, and what follows them") {
  CHECK(read_digits("0")->value == 0);
  CHECK(read_digits("007")->value == 7);
  CHECK(read_digits("12x3")->value == 12);
  CHECK(read_digits("12x3")->rest == "x3");
  CHECK(read_digits("12")->rest.empty());
  CHECK(read_digits("18446744073709551615")->value == std::numeric_limits<std::uint64_t>::max());
  for (const char* text : {"", " 1", "+1", "-1", "x", "18446744073709551616", "18446744073709551616 "}) {
    CAPTURE(text);
    CHECK_FALSE(read_digits(text));
  }
}

TEST_CASE("decimal: white space and one sign may stand before a number") {
  for (const char* text : {"7", "+7", " 7", "\t\n\v\f\r +7"}) {
    CAPTURE(text);
    REQUIRE(read_number(text));
    CHECK(read_number(text)->magnitude == 7);
    CHECK_FALSE(read_number(text)->negative);
  }
  CHECK(read_number(" -7")->negative);
  CHECK(read_number("-18446744073709551615")->magnitude == std::numeric_limits<std::uint64_t>::max());
  for (const char* text : {"", " ", "+", "-", "+-1", "-+1", "--1", "++1", "+ 1", "- 1", "x", "-18446744073709551616"}) {
    CAPTURE(text);
    CHECK_FALSE(read_number(text));
  }
  CHECK_FALSE(
      read_number(std::string_view("\0"
                                   "1",
                                   2)));
}

TEST_CASE("decimal: a word ends with the text or at white space") {
  for (const char* text : {"1", "1 ", "1\tx", "1\n", "1\v", "1\f", "1\r\nx"}) {
    CAPTURE(text);
    CHECK(read_number(text)->ends_as_a_word());
  }
  for (const std::string_view text : {std::string_view("1x"), std::string_view("1.5"), std::string_view("0x1"),
                                      std::string_view("1\0", 2), std::string_view("1\x85"), std::string_view("1\b")}) {
    CAPTURE(text);
    CHECK_FALSE(read_number(text)->ends_as_a_word());
  }
}
