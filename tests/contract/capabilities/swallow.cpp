// swallow: a value that is refused goes by, and the next command is read as a command.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"

namespace contract {
namespace {

const std::string too_large = "SERVER_ERROR object too large for cache\r\n";
const std::string no_memory = "SERVER_ERROR out of memory storing object\r\n";
const std::string bad_chunk = "CLIENT_ERROR bad data chunk\r\n";

std::string value_of(const std::string& command, std::size_t length, const std::string& tail = "") {
  return command + " @a 0 0 " + std::to_string(length) + tail + "\r\n" + std::string(length, 'x') + "\r\n";
}

// The value is made of commands: whoever loses the place in the stream executes them.
std::string value_of_commands(std::size_t length) {
  std::string bytes = repeat("quit\r\n", length / 6 + 1);
  bytes.resize(length);
  return "set @a 0 0 " + std::to_string(length) + "\r\n" + bytes + "\r\n";
}

std::vector<conversation> too_large_values() {
  constexpr std::size_t length = 1'100'000;
  const std::string kept = "VALUE @a 0 3\r\nold\r\nEND\r\n";
  return {
      {"set", {{value_of("set", length), too_large}}},
      {"a value of commands", {{value_of_commands(length), too_large}}},
      {"two in a row", {{value_of("set", length) + value_of("set", length), too_large + too_large}}},
      {"set of what is there removes it",
       {{"set @a 0 0 3\r\nold\r\n" + value_of("set", length) + "get @a\r\n", "STORED\r\n" + too_large + "END\r\n"}}},
      {"add leaves what is there",
       {{"set @a 0 0 3\r\nold\r\n" + value_of("add", length) + "get @a\r\n", "STORED\r\n" + too_large + kept}}},
      {"append leaves what is there",
       {{"set @a 0 0 3\r\nold\r\n" + value_of("append", length) + "get @a\r\n", "STORED\r\n" + too_large + kept}}},
      {"cas", {{value_of("cas", length, " 1"), too_large}}},
  };
}

std::vector<conversation> without_memory() {
  const std::string after = "get @a\r\n";
  return {
      {"set", {{value_of("set", 10'000) + after, no_memory + "END\r\n"}}},
      {"add", {{value_of("add", 10'000) + after, no_memory + "END\r\n"}}},
      {"a value of commands", {{value_of_commands(10'000), no_memory}}},
  };
}

// A value whose last two bytes are not a line end is refused when those two bytes are here; what follows is read on as
// commands.
std::vector<conversation> bad_chunks() {
  const ending_with then = after_what_is_unknown();
  return {
      {"a value longer than said", {{"set @a 0 0 3\r\nabcde\r\n", bad_chunk + "ERROR\r\n"}}, then},
      {"a value shorter than said", {{"set @a 0 0 6\r\nabc\r\nversion\r\n", bad_chunk + "ERROR\r\n"}}, then},
      {"no line end at all", {{"set @a 0 0 3\r\nabcversion\r\n", bad_chunk + "ERROR\r\n"}}, then},
      {"a line feed alone", {{"set @a 0 0 3\r\nabc\nversion\r\n", bad_chunk + "ERROR\r\n"}}, then},
  };
}

// For who is not hung up on.
std::vector<conversation> after_bad_chunks() {
  if (after_what_is_unknown() == ending_with::connection_closed) return {};
  return {
      {"nothing is stored", {{"set @a 0 0 3\r\nabcde\r\nget @a\r\n", bad_chunk + "ERROR\r\nEND\r\n"}}},
      {"what was there stays",
       {{"set @a 0 0 3\r\nold\r\nadd @a 0 0 3\r\nabcde\r\nget @a\r\n",
         "STORED\r\n" + bad_chunk + "ERROR\r\nVALUE @a 0 3\r\nold\r\nEND\r\n"}}},
  };
}

}  // namespace

TEST_SUITE("swallow") {
  TEST_CASE("values that are too large") {
    const server_process server;
    play(server, too_large_values());
  }

  TEST_CASE("values for which there is no memory") {
    const server_process server{{"-M", "-m", "8"}};
    client c{server};
    std::string answer;
    for (std::size_t n = 0; n < 2'000 && answer != no_memory; ++n) {
      answer = c.ask("set key" + std::to_string(n) + " 0 0 10000\r\n" + std::string(10'000, 'x'));
    }
    REQUIRE(answer == no_memory);
    play(server, without_memory());
  }

  TEST_CASE("values whose end is not where it was said to be") {
    const server_process server;
    play(server, bad_chunks());
    play(server, after_bad_chunks());
  }

  // 1.4.25 forgot to swallow here, and read the value as commands.
  TEST_CASE("too large, and silent") {
    const server_process server;
    const std::vector<conversation> table{{"set", {{value_of("set", 1'100'000, " noreply"), ""}}},
                                          {"add", {{value_of("add", 1'100'000, " noreply"), ""}}}};
    play(server, table);
  }

  TEST_CASE("a length that no client will ever deliver") {
    const server_process server;
    const std::size_t before = server.rss_bytes();
    client c{server};
    c.send("set a 0 0 2147483640\r\n");
    for (int i = 0; i < 50; ++i) c.send(std::string(1'000'000, 'x'));
    c.wait_until_consumed();
    CHECK(server.rss_bytes() < before + 16 * 1024 * 1024);
    CHECK(client{server}.ask("version").starts_with("VERSION "));
  }
}

}  // namespace contract
