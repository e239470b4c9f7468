// line: commands are lines, and each is answered by a line. Nothing here needs storage.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

constexpr auto closed = ending_with::connection_closed;

std::vector<conversation> lines() {
  return {
      {"version", {{"version\r\n", "VERSION $*\r\n"}}},
      {"a lone line feed ends a line", {{"version\nversion\n", "VERSION $*\r\nVERSION $*\r\n"}}},
      {"blanks before a command", {{"   version\r\n", "VERSION $*\r\n"}}},
      {"verbosity", {{"verbosity 0\r\n", "OK\r\n"}}},
      {"verbosity without a level", {{"verbosity\r\n", "ERROR\r\n"}}},
      {"quit", {{"quit\r\n", ""}}, closed},
      {"quit after a command", {{"version\r\nquit\r\n", "VERSION $*\r\n"}}, closed},
      {"nothing is answered after quit", {{"version\r\nquit\r\nversion\r\nversion\r\n", "VERSION $*\r\n"}}, closed},
      {"an unknown command", {{"nonsense\r\n", "ERROR\r\n"}}},
      {"an unknown command with arguments", {{"nonsense with some words\r\n", "ERROR\r\n"}}},
      {"more words than any command has", {{repeat("word ", 40) + "\r\n", "ERROR\r\n"}}},
      {"commands are written in lower case", {{"VERSION\r\nQuit\r\n", "ERROR\r\nERROR\r\n"}}},
      {"the beginning of a command is not the command", {{"versio\r\nversions\r\n", "ERROR\r\nERROR\r\n"}}},
      {"empty lines", {{"\r\n\n\r\n", "ERROR\r\nERROR\r\nERROR\r\n"}}},
      {"a line of blanks", {{"    \r\n", "ERROR\r\n"}}},
      {"a carriage return within a line belongs to it", {{"ver\rsion\r\nversion\r\r\n", "ERROR\r\nERROR\r\n"}}},
      {"bytes beyond ASCII", {{"\x81\xff\xfe\xc3\xa4\r\n", "ERROR\r\n"}}},
      {"a line of NUL bytes", {{std::string(5, '\0') + "\r\n", "ERROR\r\n"}}},
      {"a NUL byte within a line", {{std::string("non\0sense\r\n", 11), "ERROR\r\n"}}},
      {"a tab is no blank", {{"version\tfoo\r\n", "ERROR\r\n"}}},
      {"1,000 bytes are still a line", {{std::string(1'000, 'x') + "\r\n", "ERROR\r\n"}}},
      {"500 commands in a row", {{repeat("version\r\n", 500), repeat("VERSION $*\r\n", 500)}}},
      {"500 commands and errors in a row",
       {{repeat("version\r\nfoo\r\n", 250), repeat("VERSION $*\r\nERROR\r\n", 250)}}},
  };
}

std::vector<conversation> long_lines() {
  if (under_test().can("proxy")) return {{"2,050 bytes without a line end", {{std::string(2'050, 'x'), ""}}, closed}};
  const std::string too_long = "CLIENT_ERROR line too long\r\n";
  return {
      {"1,024 bytes are still a line", {{std::string(1'024, 'x') + "\r\n", "ERROR\r\n"}}},
      {"1,025 bytes are none", {{std::string(1'025, 'x') + "\r\n", too_long}}, closed},
      {"1,025 bytes that end in a lone line feed are none", {{std::string(1'025, 'x') + "\n", too_long}}, closed},
      {"2,050 bytes without a line end", {{std::string(2'050, 'x'), too_long}}, closed},
      {"what came before is answered",
       {{"version\r\n" + std::string(2'050, 'x') + "\r\nversion\r\n", "VERSION $*\r\n" + too_long}},
       closed},
  };
}

}  // namespace

TEST_SUITE("line") {
  TEST_CASE("lines") {
    const server_process server;
    play(server, lines());
    play(server, long_lines());
  }

  TEST_CASE("a client that will say no more is still answered") {
    const server_process server;
    client c{server};
    c.send("version\r\nversion\r\n");
    c.half_close();
    CHECK(c.receive_line().starts_with("VERSION "));
    CHECK(c.receive_line().starts_with("VERSION "));
    CHECK(c.receive_rest() == "");
  }

  TEST_CASE("half a line and then the end of the stream") {
    const server_process server;
    client c{server};
    c.send("versi");
    c.half_close();
    CHECK(c.receive_rest() == "");
  }

  TEST_CASE("the version is a number that clients can parse") {
    const server_process server;
    const std::string answer = client{server}.ask("version");
    CHECK(answer.find_first_not_of("0123456789.", std::string{"VERSION "}.size()) == answer.find("\r\n"));
  }
}

}  // namespace contract
