// multiget: one command line, many keys; the answer has those that are there, in the order asked for.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"

namespace contract {
namespace {

std::string number(std::size_t n) { return std::to_string(1'000 + n); }

// One conversation over n keys, of which every third was never set.
conversation of_many(std::size_t n, const std::string& verb) {
  const std::string cas = verb == "gets" ? " $n" : "";
  std::string sets;
  std::string stored;
  std::string get = verb;
  std::string values;
  for (std::size_t i = 0; i < n; ++i) {
    const std::string key = "@" + number(i);
    get += " " + key;
    if (i % 3 == 2) continue;
    sets += "set " + key + " " + number(i) + " 0 4\r\n" + number(i) + "\r\n";
    stored += "STORED\r\n";
    values += "VALUE " + key + " " + number(i) + " 4" + cas + "\r\n" + number(i) + "\r\n";
  }
  return {verb + " of " + std::to_string(n) + " keys", {{sets, stored}, {get + "\r\n", values + "END\r\n"}}};
}

std::vector<conversation> many_keys() {
  const std::string set_both = "set @a 1 0 3\r\none\r\nset @b 2 0 3\r\ntwo\r\n";
  const std::string one = "VALUE @a 1 3\r\none\r\n";
  const std::string two = "VALUE @b 2 3\r\ntwo\r\n";
  return {
      {"two keys", {{set_both, "STORED\r\nSTORED\r\n"}, {"get @a @b\r\n", one + two + "END\r\n"}}},
      {"the order of the question", {{set_both, "STORED\r\nSTORED\r\n"}, {"get @b @a\r\n", two + one + "END\r\n"}}},
      {"misses are left out", {{set_both, "STORED\r\nSTORED\r\n"}, {"get @x @a @y @b @z\r\n", one + two + "END\r\n"}}},
      {"nothing but misses", {{"get @a @b @c @d\r\n", "END\r\n"}}},
      {"the same key again and again",
       {{set_both, "STORED\r\nSTORED\r\n"}, {"get @a @a @b @a\r\n", one + one + two + one + "END\r\n"}}},
      {"more blanks than needed", {{set_both, "STORED\r\nSTORED\r\n"}, {"get  @a   @b  \r\n", one + two + "END\r\n"}}},
      {"two gets in a row",
       {{set_both, "STORED\r\nSTORED\r\n"}, {"get @a @b\r\nget @b\r\n", one + two + "END\r\n" + two + "END\r\n"}}},
      of_many(8, "get"),
      of_many(9, "gets"),
      of_many(100, "get"),
      of_many(100, "gets"),
      of_many(1'000, "get"),
  };
}

}  // namespace

TEST_SUITE("multiget") {
  TEST_CASE("many keys") {
    const server_process server;
    play(server, many_keys());
  }
}

}  // namespace contract
