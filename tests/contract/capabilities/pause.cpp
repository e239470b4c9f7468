// pause: SIGUSR1 lets the workers rest, SIGUSR2 lets them go on.
#include <doctest/doctest.h>
#include <signal.h>

#include <optional>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"

namespace contract {

TEST_SUITE("pause") {
  TEST_CASE("what comes in a pause is answered after it") {
    const server_process server;
    client one{server};
    REQUIRE(one.ask("version").starts_with("VERSION "));
    for (int i = 0; i < 20; ++i) {
      server.signal(SIGUSR1);
      one.send("version\r\n");
      server.signal(SIGUSR2);
      CHECK(one.receive_line().starts_with("VERSION "));
    }
  }

  // A worker may still rest from the last pause when the next one begins. It must not be overlooked: the master would
  // wait for it for ever, and with it the end.
  TEST_CASE("pauses in quick succession, and an end in the middle of one") {
    server_process server;
    client one{server};
    for (int i = 0; i < 500; ++i) {
      server.signal(SIGUSR1);
      server.signal(SIGUSR2);
      if (i % 50 == 0) CHECK(one.ask("version").starts_with("VERSION "));
    }
    server.signal(SIGUSR1);
    server.signal(SIGTERM);
    const std::optional<ending> end = server.wait_for_end(SIGTERM);
    REQUIRE(end.has_value());
    CHECK(end->text() == ending{true, 0}.text());
  }
}

}  // namespace contract
