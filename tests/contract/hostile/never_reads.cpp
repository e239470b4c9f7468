// Hostile clients: those that ask and ask, and never read an answer.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t mebibyte = 1024 * 1024;
constexpr client_options small_buffers{.receive_buffer = 4'096, .send_buffer = 4'096};

// Sends until nothing more goes in. Returns how much did.
std::size_t stuff(client& c, std::string_view command) {
  const std::string block = repeat(command, 65'536 / command.size());
  constexpr std::size_t most = 64 * mebibyte;
  std::size_t sent = 0;
  for (std::size_t n = 1; n > 0 && sent < most; sent += n) {
    n = c.send_some(std::string_view{block}.substr(sent % block.size()), milliseconds{200});
  }
  return sent;
}

// Whether there comes an interval in which the server hardly runs. One that spins never has such an interval.
bool comes_to_rest(const server_process& server, client& stuck) {
  const auto end = std::chrono::steady_clock::now() + under_test().deadline;
  while (std::chrono::steady_clock::now() < end) {
    const auto busy_before = server.cpu_time();
    if (stuck.send_some("", milliseconds{300}) != 0)
      return false;  // an interval to measure over, not a thing to wait for
    if (server.cpu_time() - busy_before < milliseconds{30}) return true;
  }
  return false;
}

// A client that is stuck must cost neither memory, nor processor time, nor other clients' patience.
// Its answers, when it reads them at last, must be as many as its questions, each ending in `answer_end`.
void check_stuck_client(const server_process& server, std::string_view command, std::string_view answer_end) {
  CAPTURE(command);
  const std::size_t before = server.rss_bytes();
  client stuck{server, small_buffers};
  const std::size_t sent = stuff(stuck, command);
  CHECK(sent < 64 * mebibyte);
  CHECK(server.rss_bytes() < before + (under_test().sanitized ? 64 : 16) * mebibyte);

  CHECK(comes_to_rest(server, stuck));

  client other{server};
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) REQUIRE(other.ask("version").starts_with("VERSION "));
  CHECK(std::chrono::steady_clock::now() - start < under_test().deadline / 2);

  const std::size_t questions = sent / command.size();
  std::size_t answers = 0;
  while (answers < questions && stuck.receive_until(answer_end).ends_with(answer_end)) ++answers;
  CHECK(answers == questions);
  // Completes the question of which a part went in, or asks one more.
  stuck.send(command.substr(sent % command.size()));
  CHECK(stuck.receive_until(answer_end).ends_with(answer_end));
  stuck.send("quit\r\n");
  CHECK(stuck.receive_rest() == "");
}

}  // namespace

TEST_SUITE("line") {
  TEST_CASE("hostile: thousands of versions, and nobody reads the answers") {
    const server_process server;
    check_stuck_client(server, "version\r\n", "\r\n");
  }

  TEST_CASE("hostile: a hundred clients that do not read") {
    const server_process server;
    const std::size_t before = server.rss_bytes();
    std::vector<client> stuck;
    for (int i = 0; i < 100; ++i) {
      client& c = stuck.emplace_back(server, small_buffers);
      static_cast<void>(c.send_some(repeat("version\r\n", 10'000), milliseconds{0}));
    }
    client other{server};
    for (int i = 0; i < 50; ++i) REQUIRE(other.ask("version").starts_with("VERSION "));
    CHECK(server.rss_bytes() < before + (under_test().sanitized ? 64 : 16) * mebibyte);
    for (client& c : stuck) c.reset();
    CHECK(other.ask("version").starts_with("VERSION "));
  }
}

TEST_SUITE("store") {
  TEST_CASE("hostile: thousands of gets, and nobody reads the values") {
    const server_process server;
    client c{server};
    REQUIRE(c.ask("set a 0 0 10000\r\n" + std::string(10'000, 'x')) == "STORED\r\n");
    check_stuck_client(server, "get a\r\n", "END\r\n");
  }
}

TEST_SUITE("limits") {
  // 72 chunks of this size are all that 6 MiB hold. The client holds 67 of them, or as many as it is being sent.
  TEST_CASE("hostile: most of the memory is held for one client that does not read, and others store") {
    const server_process server{{"-m", "6"}};
    client c{server};
    const auto stored = [&](int n) {
      return c.ask("set " + std::to_string(n) + " 0 0 66560\r\n" + std::string(66'560, 'x')) == "STORED\r\n";
    };
    for (int n = 0; n < 120; ++n) REQUIRE(stored(n));
    std::string get = "get";
    for (int n = 0; n < 115; ++n) get += " " + std::to_string(n);
    client stuck{server, small_buffers};
    stuck.send(get + "\r\n");
    REQUIRE(stuck.receive(5) == "VALUE");
    int failed = 0;
    for (int n = 120; n < 239; ++n) failed += stored(n) ? 0 : 1;
    CHECK(failed <= 1);
    CHECK(statistics{c}.number("lrutail_reflocked") <= 67);
    CHECK(stuck.receive_until("END\r\n").size() > 67 * 66'560);
  }
}

TEST_SUITE("stats") {
  TEST_CASE("hostile: thousands of stats, and nobody reads the numbers") {
    const server_process server;
    check_stuck_client(server, "stats\r\n", "END\r\n");
  }
}

}  // namespace contract
