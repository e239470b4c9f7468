// Hostile clients: those that stop, hang up, or crawl half-way; and what must be left of them, which is nothing.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

// Waits until the server holds as many descriptors as before.
bool comes_back_to(const server_process& server, std::size_t fds) {
  const auto end = std::chrono::steady_clock::now() + under_test().deadline;
  while (server.open_fds() != fds) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

// All the server ever opens by itself is open once it has answered somebody.
std::size_t fds_at_rest(const server_process& server) {
  {
    client c{server};
    REQUIRE(c.ask("version").starts_with("VERSION "));
    REQUIRE(c.ask("get nobody").ends_with("\r\n"));  // a proxy connects to its server
    c.send("quit\r\n");
    REQUIRE(c.receive_rest() == "");
  }
  const std::size_t fds = server.open_fds();
  REQUIRE(comes_back_to(server, fds));
  return fds;
}

enum class farewell { reset, half_close, close };

// Goes away after each byte of `conversation`, in each way there is.
void leave_at_every_byte(const server_process& server, std::string_view conversation) {
  const std::size_t before = fds_at_rest(server);
  for (const farewell how : {farewell::reset, farewell::half_close, farewell::close}) {
    for (std::size_t n = 0; n <= conversation.size(); ++n) {
      client c{server};
      c.send(conversation.substr(0, n));
      c.wait_until_consumed();
      switch (how) {
        case farewell::reset: c.reset(); break;
        case farewell::half_close:
          c.half_close();
          static_cast<void>(c.receive_rest());
          break;
        case farewell::close: break;
      }
    }
  }
  CHECK(comes_back_to(server, before));
  CHECK(client{server}.ask("version").starts_with("VERSION "));
}

// Many clients at once, each of whom sends one byte when its turn comes.
void crawl(const server_process& server, std::string_view conversation, std::string_view answer) {
  constexpr std::size_t crowd = 500;
  std::vector<client> clients;
  for (std::size_t i = 0; i < crowd; ++i) clients.emplace_back(server);
  for (const char byte : conversation) {
    for (client& c : clients) c.send({&byte, 1});
  }
  for (std::size_t i = 0; i < crowd; ++i) {
    CAPTURE(i);
    REQUIRE(clients[i].receive_until(answer).ends_with(answer));
  }
}

}  // namespace

TEST_SUITE("line") {
  TEST_CASE("hostile: leaving at every byte of a line") {
    const server_process server;
    leave_at_every_byte(server, "version\r\nnonsense\r\nquit\r\n");
  }

  TEST_CASE("hostile: 500 clients that send a byte at a time") {
    const server_process server;
    crawl(server, "version\r\nnonsense\r\n", "ERROR\r\n");
  }

  TEST_CASE("hostile: connecting and closing leaves no descriptor behind") {
    const server_process server;
    const std::size_t before = fds_at_rest(server);
    const std::size_t memory = server.rss_bytes();
    for (unsigned i = 0; i < under_test().connects; ++i) {
      client c{server};
      if (i % 3 == 1) c.send("version\r\n");
      if (i % 3 == 2) c.reset();
    }
    CHECK(comes_back_to(server, before));
    CHECK(server.rss_bytes() < memory + (under_test().sanitized ? 32 : 8) * 1024 * 1024);
    CHECK(client{server}.ask("version").starts_with("VERSION "));
  }

  TEST_CASE("hostile: lines without end") {
    const server_process server;
    const std::string last_words = under_test().can("proxy") ? "" : "CLIENT_ERROR line too long\r\n";
    for (const std::string_view begin : {"", "version ", "set ", "get", "gets", "  "}) {
      CAPTURE(begin);
      client c{server};
      c.send(std::string{begin} + std::string(100'000, 'x'));
      REQUIRE(c.receive_rest() == last_words);
    }
    CHECK(client{server}.ask("version").starts_with("VERSION "));
  }

  // A line that begins like a get may be long, but the server's memory is finite. memcached, to this day, takes it all.
  TEST_CASE("hostile: a get without end") {
    const server_process server;
    const std::size_t before = server.rss_bytes();
    client c{server};
    c.send("get ");
    for (int i = 0; i < 2'000; ++i) c.send(std::string(249, 'x') + " " + std::string(99'750, ' '));
    CHECK(client{server}.ask("version").starts_with("VERSION "));
    CHECK(server.rss_bytes() < before + (under_test().sanitized ? 128 : 64) * 1024 * 1024);
  }
}

TEST_SUITE("store") {
  TEST_CASE("hostile: leaving at every byte of a value") {
    const server_process server;
    leave_at_every_byte(server, "set a 5 0 20\r\nget a\r\nquit\r\nget a\r\n\r\nget a b a\r\nincr a 1\r\nquit\r\n");
    client c{server};
    CHECK(c.ask("get a") == "VALUE a 5 20\r\n");
    CHECK(c.receive_until("END\r\n") == "get a\r\nquit\r\nget a\r\n\r\nEND\r\n");
  }

  TEST_CASE("hostile: 500 clients that send a value a byte at a time") {
    const server_process server;
    crawl(server, "set a 0 0 5\r\nhello\r\nget a\r\n", "VALUE a 0 5\r\nhello\r\nEND\r\n");
  }

  TEST_CASE("hostile: half a value from each of 200 clients costs what was said, and is given back") {
    const server_process server{{"-m", "64"}};
    const std::size_t before = fds_at_rest(server);
    for (int i = 0; i < 3; ++i) {
      std::vector<client> clients;
      for (int n = 0; n < 200; ++n) {
        client& c = clients.emplace_back(server);
        c.send("set key" + std::to_string(n) + " 0 0 100000\r\n" + std::string(10'000, 'x'));
      }
      for (client& c : clients) c.wait_until_consumed();
      REQUIRE(client{server}.ask("version").starts_with("VERSION "));
      for (client& c : clients) c.reset();
    }
    CHECK(comes_back_to(server, before));
    client c{server};
    CHECK(c.ask("get key1") == "END\r\n");
    for (int n = 0; n < 400; ++n) {
      REQUIRE(c.ask("set new" + std::to_string(n) + " 0 0 100000\r\n" + std::string(100'000, 'x')) == "STORED\r\n");
    }
    // Of 64 MiB they take up some 50: if the first had to go, the room it needed is still held for somebody who has
    // left.
    CHECK(c.ask("get new0") == "VALUE new0 0 100000\r\n");
  }
}

}  // namespace contract
