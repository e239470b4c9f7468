// bulk: a reply larger than the server could ever hold goes out straight from the items.
#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

constexpr std::size_t mebibyte = 1024 * 1024;
constexpr std::size_t length = 500'000;

std::string value() {
  std::string bytes(length, '\0');
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<char>('A' + i * i % 53);
  return bytes;
}

void store_the_item(const server_process& server) {
  client c{server};
  REQUIRE(c.ask("set big 0 0 " + std::to_string(length) + "\r\n" + value()) == "STORED\r\n");
}

std::string get_many_times(std::size_t n) {
  std::string command = "get";
  for (std::size_t i = 0; i < n; ++i) command += " big";
  return command + "\r\n";
}

}  // namespace

TEST_SUITE("bulk") {
  TEST_CASE("a gigabyte asked for by a client that never reads") {
    const server_process server;
    store_the_item(server);
    const std::size_t before = server.rss_bytes();
    client greedy{server, {.receive_buffer = 4'096}};
    greedy.send(get_many_times(2'000));
    greedy.wait_until_consumed();

    client other{server};
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) REQUIRE(other.ask("get nobody") == "END\r\n");  // of the server, behind a proxy too
    CHECK(std::chrono::steady_clock::now() - start < under_test().deadline / 2);
    // A proxy keeps what it was asked for up to a limit, and gives it back. A sanitizer does not.
    const bool kept = under_test().sanitized && under_test().can("proxy");
    CHECK(server.rss_bytes() < before + (kept ? 3'072 : 64) * mebibyte);

    greedy.reset();
    CHECK(other.ask("version").starts_with("VERSION "));
  }

  TEST_CASE("values that are deleted, and their places taken, while they are on their way") {
    const server_process server;
    client owner{server};
    const std::string old_value = value();
    const auto set_all = [&owner](const std::string& prefix, const std::string& bytes) {
      for (int i = 0; i < 8; ++i) {
        REQUIRE(owner.ask("set " + prefix + std::to_string(i) + " 0 0 " + std::to_string(length) + "\r\n" + bytes) ==
                "STORED\r\n");
      }
    };
    set_all("old", old_value);
    client slow{server, {.receive_buffer = 4'096}};
    const auto header = [](int i) { return "VALUE old" + std::to_string(i) + " 0 " + std::to_string(length) + "\r\n"; };
    slow.send("get old0 old1 old2 old3 old4 old5 old6 old7\r\n");
    // The reply has begun: all keys have been looked up. That the command was read would say less, for another worker
    // may delete the items before the command is run.
    REQUIRE(slow.receive(header(0).size()) == header(0));
    for (int i = 0; i < 8; ++i) REQUIRE(owner.ask("delete old" + std::to_string(i)) == "DELETED\r\n");
    set_all("new", std::string(length, 'y'));
    for (int i = 0; i < 8; ++i) {
      CAPTURE(i);
      const std::string rest = (i == 0 ? "" : header(i)) + old_value + "\r\n";
      const bool same = slow.receive(rest.size()) == rest;
      CHECK(same);
    }
    CHECK(slow.receive_line() == "END\r\n");
  }

  TEST_CASE("100 MB, each byte in its place") {
    const server_process server;
    store_the_item(server);
    client c{server};
    c.send(get_many_times(200));
    const std::string expected = "VALUE big 0 " + std::to_string(length) + "\r\n" + value() + "\r\n";
    for (int i = 0; i < 200; ++i) {
      CAPTURE(i);
      const bool same = c.receive(expected.size()) == expected;
      REQUIRE(same);
    }
    CHECK(c.receive_line() == "END\r\n");
    CHECK(c.ask("version").starts_with("VERSION "));
  }
}

}  // namespace contract
