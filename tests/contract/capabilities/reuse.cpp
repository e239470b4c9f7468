// reuse: a connection that closes leaves its structure to the next one.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"
#include "tests/contract/harness/target.h"

namespace contract {

TEST_SUITE("reuse") {
  TEST_CASE("structures stay at the high-water mark while connections come and go") {
    const server_process server;
    client c{server};
    constexpr long long at_once = 10;
    {
      std::vector<client> together;
      for (long long i = 0; i < at_once; ++i)
        REQUIRE(together.emplace_back(server).ask("version").starts_with("VERSION "));
      for (client& one : together) {
        one.send("quit\r\n");
        REQUIRE(one.receive_rest() == "");
      }
    }
    const statistics before{c};
    for (unsigned i = 0; i < under_test().connects; ++i) {
      client one{server};
      one.send("quit\r\n");
      REQUIRE(one.receive_rest() == "");
    }
    const statistics after{c};
    CHECK(after.number("total_connections") - before.number("total_connections") == under_test().connects);
    CHECK(after.number("connection_structures") == before.number("connection_structures"));
    // Less: a worker may not have heard yet that somebody had left before the first of us came.
    CHECK(after.number("curr_connections") <= before.number("curr_connections"));
  }

  // What the last client left half done must not be found by the next.
  TEST_CASE("a used structure is as good as new") {
    const server_process server;
    for (const char* left :
         {"get half a li", "set a 0 0 1000\r\nhalf a value", "set a 0 0 1000 noreply\r\nx", "\r", "gets a"}) {
      CAPTURE(left);
      client first{server};
      first.send(left);
      first.half_close();
      REQUIRE(first.receive_rest() == "");
      client second{server};
      REQUIRE(second.ask("version").starts_with("VERSION "));
      REQUIRE(second.ask("set a 0 0 1\r\nx") == "STORED\r\n");
      REQUIRE(second.ask("get a") == "VALUE a 0 1\r\n");
      REQUIRE(second.receive_until("END\r\n") == "x\r\nEND\r\n");
    }
  }
}

}  // namespace contract
