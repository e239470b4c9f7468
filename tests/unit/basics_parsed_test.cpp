// common/basics/parsed.h: all of a text is the number, or it is none.
#include "common/basics/parsed.h"

#include <doctest/doctest.h>

TEST_CASE("a number that is all of a text") {
  CHECK(parsed<int>("-12") == -12);
  CHECK(parsed<unsigned>("12") == 12u);
  CHECK(parsed<unsigned>("755", 8) == 0755u);
  CHECK(parsed<double>("1.25") == 1.25);
  for (const char* text : {"", " 1", "1 ", "+1", "1k", "k", "0x10", "256"}) {
    CAPTURE(text);
    CHECK(!parsed<unsigned char>(text));
  }
  CHECK(!parsed<unsigned>("-1"));
}
