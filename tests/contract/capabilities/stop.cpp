// stop: SIGINT and SIGTERM end the server in order, whatever its clients are doing.
#include <doctest/doctest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"

namespace contract {
namespace {

constexpr ending in_order{true, 0};

void check_that_it_stops(server_process& server, int number) {
  CAPTURE(number);
  server.signal(number);
  const std::optional<ending> end = server.wait_for_end(number);
  REQUIRE(end.has_value());
  CHECK(end->text() == in_order.text());
}

}  // namespace

TEST_SUITE("stop") {
  TEST_CASE("without clients") {
    for (const int number : {SIGINT, SIGTERM}) {
      server_process server;
      check_that_it_stops(server, number);
    }
  }

  TEST_CASE("in the middle of everything") {
    for (const int number : {SIGINT, SIGTERM}) {
      server_process server;
      client idle{server};
      client answered{server};
      REQUIRE(answered.ask("version").starts_with("VERSION "));
      client in_a_line{server};
      in_a_line.send("get so");
      client in_a_value{server};
      in_a_value.send("set a 0 0 1000\r\nhalf of it");
      client in_a_reply{server, {.receive_buffer = 4'096}};
      REQUIRE(in_a_reply.ask("set b 0 0 500000\r\n" + std::string(500'000, 'x')) == "STORED\r\n");
      in_a_reply.send("get b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b\r\n");
      client closed{server};
      closed.send("quit\r\n");
      REQUIRE(closed.receive_rest() == "");
      for (client* c : {&in_a_line, &in_a_value, &in_a_reply}) c->wait_until_consumed();

      check_that_it_stops(server, number);
      REQUIRE(idle.receive_rest() == "");
    }
  }
}

}  // namespace contract
