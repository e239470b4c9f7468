// fairness: after -R commands of one event it is the others' turn, and nobody is forgotten over it.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"

namespace contract {

TEST_SUITE("fairness") {
  TEST_CASE("stats settings tells how many commands a turn takes") {
    for (const auto& [flags, turn] :
         std::vector<std::pair<std::vector<std::string>, long long>>{{{}, 20}, {{"-R", "7"}, 7}}) {
      const server_process server{flags};
      client c{server};
      CHECK(statistics{c, "settings"}.number("reqs_per_event") == turn);
    }
  }

  // Both clients' bytes are there before the server looks. -vv tells in which order it took the commands.
  TEST_CASE("a client with 5,000 commands does not keep another one waiting") {
    constexpr std::size_t commands = 5'000;
    const server_process server{{"-t", "1", "-R", "20", "-vv"}};
    client greedy{server};
    client modest{server};
    REQUIRE(greedy.ask("nonsense") == "ERROR\r\n");
    REQUIRE(modest.ask("nonsense") == "ERROR\r\n");
    server.signal(SIGSTOP);
    siginfo_t stopped;
    REQUIRE(::waitid(P_PID, static_cast<id_t>(server.pid()), &stopped, WSTOPPED) == 0);  // all of its threads
    greedy.send(repeat("get a\r\n", commands));
    modest.send("version\r\n");
    server.signal(SIGCONT);
    CHECK(modest.receive_line().starts_with("VERSION "));
    CHECK((greedy.receive(commands * 5) == repeat("END\r\n", commands)));

    std::size_t before = 0;
    std::istringstream lines{server.output()};
    for (std::string line; std::getline(lines, line) && !line.ends_with(" version");)
      before += line.ends_with(" get a");
    CHECK(before <= 100);  // not 20: a turn may have begun before the other's bytes were seen
  }

  TEST_CASE("conn_yields counts how often somebody's turn has ended early") {
    const server_process server{{"-t", "1", "-R", "10"}};
    client c{server};
    const long long before = statistics{c}.number("conn_yields");
    for (int i = 0; i < 30; ++i) REQUIRE(c.ask("get a") == "END\r\n");
    CHECK(statistics{c}.number("conn_yields") == before);
    c.send(repeat("get a\r\n", 1'000));
    CHECK((c.receive(5'000) == repeat("END\r\n", 1'000)));
    const long long yields = statistics{c}.number("conn_yields") - before;
    CHECK(yields >= 50);
    CHECK(yields <= 200);
  }

  // When the budget is spent the rest of the commands is in the server's buffer, and the kernel has no more news to
  // wake anybody with.
  TEST_CASE("more commands in one write than a turn takes are all answered") {
    for (const char* turn : {"1", "2", "20"}) {
      CAPTURE(turn);
      const server_process server{{"-t", "1", "-R", turn}};
      for (const std::size_t commands : {1u, 2u, 3u, 19u, 20u, 21u, 22u, 40u, 41u, 290u, 1'000u}) {
        CAPTURE(commands);
        client c{server};
        c.send(repeat("get a\r\n", commands));
        REQUIRE((c.receive(commands * 5) == repeat("END\r\n", commands)));
        c.send(repeat("get a\r\n", commands) + "vers");
        REQUIRE((c.receive(commands * 5) == repeat("END\r\n", commands)));
        c.wait_until_consumed();
        REQUIRE(c.ask("ion").starts_with("VERSION "));
      }
    }
  }

  TEST_CASE("values, too, wait for their turn") {
    const server_process server{{"-t", "1", "-R", "2"}};
    client c{server};
    const std::string set = "set a 0 0 100\r\n" + std::string(100, 'v') + "\r\n";
    c.send(repeat(set, 300));
    CHECK((c.receive(300 * 8) == repeat("STORED\r\n", 300)));
  }
}

}  // namespace contract
