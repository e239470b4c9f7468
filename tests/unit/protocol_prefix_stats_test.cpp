// common/protocol/prefix_stats.h: "stats detail", and its bound.
#include "common/protocol/prefix_stats.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using protocol::prefix_stats;

TEST_CASE("gets, hits, sets and deletes are counted by what stands before the first colon") {
  prefix_stats prefixes;
  CHECK(prefixes.dump() == "END\r\n");
  prefixes.record_get("user:1", true);
  prefixes.record_get("user:2:x", false);
  prefixes.record_set("user:1");
  prefixes.record_delete("user:1");
  prefixes.record_delete("user:1");
  prefixes.record_get(":nothing before", false);
  prefixes.record_get("no colon", true);
  CHECK(prefixes.dump() ==
        "PREFIX  get 1 hit 0 set 0 del 0\r\n"
        "PREFIX user get 2 hit 1 set 1 del 2\r\n"
        "END\r\n");
  prefixes.clear();
  CHECK(prefixes.dump() == "END\r\n");
}

TEST_CASE("a prefix can forge no line") {
  prefix_stats prefixes;
  prefixes.record_set("a get 1\r\nPREFIX b:x");
  CHECK(prefixes.dump() == "PREFIX a\\x20get\\x201\\x0d\\x0aPREFIX\\x20b get 0 hit 0 set 1 del 0\r\nEND\r\n");
}

TEST_CASE("it is off at first") {
  prefix_stats prefixes;
  CHECK_FALSE(prefixes.on());
  prefixes.turn(true);
  CHECK(prefixes.on());
  prefixes.turn(false);
  CHECK_FALSE(prefixes.on());
}

TEST_CASE("a client cannot make it grow without end") {
  prefix_stats prefixes;
  for (std::size_t i = 0; i < prefix_stats::most + 100; ++i) prefixes.record_set(std::to_string(i) + ":x");
  const auto full = prefixes.dump();
  CHECK(static_cast<std::size_t>(std::ranges::count(full, '\n')) == prefix_stats::most + 1);
  prefixes.record_set("0:x");
  CHECK(prefixes.dump().starts_with("PREFIX 0 get 0 hit 0 set 2 del 0\r\n"));
}
