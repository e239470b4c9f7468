// common/protocol/tokens.h: how a line falls into words.
#include "common/protocol/tokens.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace std::string_view_literals;
using protocol::tokens;

namespace {

std::vector<std::string> arguments(std::string_view line) {
  tokens words(line);
  std::vector<std::string> all;
  for (auto word = words.next(); !word.empty(); word = words.next()) all.emplace_back(word);
  return all;
}

}  // namespace

TEST_CASE("an empty or blank line has no words") {
  for (const auto line : {""sv, " "sv, "     "sv, "\0get a"sv, std::string_view{}}) {
    tokens words(line);
    CHECK(words.size() == 0);
    CHECK(words[0].empty());
    CHECK(words.last().empty());
    CHECK(words.next().empty());
  }
}

TEST_CASE("blanks separate, however many; tabs and returns do not") {
  const tokens words("  set  a\tb   \r ");
  CHECK(words.size() == 3);
  CHECK(words[0] == "set");
  CHECK(words[1] == "a\tb");
  CHECK(words[2] == "\r");
  CHECK(words[3].empty());
  CHECK(words.last() == "\r");
}

TEST_CASE("a NUL ends the line") {
  const tokens words("get a\0b c"sv);
  CHECK(words.size() == 2);
  CHECK(words[1] == "a");
}

TEST_CASE("beyond the words at hand, next() still finds every one") {
  const tokens eight("1 2 3 4 5 6 7 8");
  CHECK(eight.size() == 8);
  CHECK(eight.last() == "8");
  const tokens nine("1 2 3 4 5 6 7 8 9");
  CHECK(nine.size() == tokens::most);

  CHECK(arguments("get") == std::vector<std::string>{});
  CHECK(arguments("get a") == std::vector<std::string>{"a"});
  CHECK(arguments("get a b c d e f g") == std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g"});
  CHECK(arguments("get a b c d e f g h  i ") == std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g", "h", "i"});
}
