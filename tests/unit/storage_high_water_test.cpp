// common/storage/high_water.h: a number that only rises, whoever comes last.
#include "common/storage/high_water.h"

#include <doctest/doctest.h>

TEST_CASE("high_water: the highest stays, in whatever order they come") {
  storage::high_water<unsigned> n;
  CHECK(n.value() == 0);
  n.raise(7);
  CHECK(n.value() == 7);
  n.raise(3);
  CHECK(n.value() == 7);
  n.raise(7);
  CHECK(n.value() == 7);
  n.raise(8);
  CHECK(n.value() == 8);
}
