// expiry: what has a time to live goes when it is over (protocol.txt, "Expiration times"); what is flushed goes at
// once.
#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

std::string get(client& c, const std::string& key) {
  c.send("get " + key + "\r\n");
  return c.receive_until("END\r\n");
}

void set(client& c, const std::string& key, const std::string& exptime) {
  c.send("set " + key + " 0 " + exptime + " 1\r\nx\r\n");
  REQUIRE(c.receive_line() == "STORED\r\n");
}

// Asks until the key is gone, for the deadline at most.
bool goes(client& c, const std::string& key) {
  const auto end = std::chrono::steady_clock::now() + under_test().deadline;
  while (std::chrono::steady_clock::now() < end) {
    if (get(c, key) == "END\r\n") return true;
  }
  return false;
}

std::vector<conversation> at_once() {
  const std::string there = "VALUE @a 0 1\r\nx\r\nEND\r\n";
  return {
      {"no time", {{"set @a 0 0 1\r\nx\r\nget @a\r\n", "STORED\r\n" + there}}},
      {"a time ahead", {{"set @a 0 100 1\r\nx\r\nget @a\r\n", "STORED\r\n" + there}}},
      {"a time below zero", {{"set @a 0 -1 1\r\nx\r\nget @a\r\n", "STORED\r\nEND\r\n"}}},
      {"a moment long past", {{"set @a 0 2592001 1\r\nx\r\nget @a\r\n", "STORED\r\nEND\r\n"}}},
      {"30 days are still counted from now", {{"set @a 0 2592000 1\r\nx\r\nget @a\r\n", "STORED\r\n" + there}}},
      {"touch with a time below zero",
       {{"set @a 0 0 1\r\nx\r\ntouch @a -1\r\nget @a\r\n", "STORED\r\nTOUCHED\r\nEND\r\n"}}},
      {"add after the time is over",
       {{"set @a 0 -1 1\r\nx\r\nadd @a 0 0 1\r\nx\r\nget @a\r\n", "STORED\r\nSTORED\r\n" + there}}},
      {"everything but add, after the time is over",
       {{"set @a 0 -1 1\r\n1\r\nreplace @a 0 0 1\r\nx\r\nappend @a 0 0 1\r\nx\r\nincr @a 1\r\ntouch @a 0\r\ndelete "
         "@a\r\n",
         "STORED\r\nNOT_STORED\r\nNOT_STORED\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\n"}}},
  };
}

// A server whose wall clock the test sets.
// Owns: the server, and the file that says by how much its clock is off.
class server_with_a_clock {
 public:
  [[nodiscard]] const server_process& operator*() const noexcept { return server_; }
  void set(int seconds_off) { std::ofstream{offset_} << seconds_off << std::endl; }

 private:
  temporary_directory directory_;
  std::filesystem::path offset_ = directory_.path() / "offset";
  server_process server_{{}, listening::on_tcp, {"LD_PRELOAD=" CLOCK_SHIM, "CLOCK_OFFSET_FILE=" + offset_.string()}};
};

}  // namespace

TEST_SUITE("expiry") {
  TEST_CASE("times that are over, or far away") {
    const server_process server;
    play(server, at_once());
  }

  TEST_CASE("times that pass") {
    const server_process server;
    client c{server};
    const std::time_t now = std::time(nullptr);
    set(c, "relative", "2");
    set(c, "absolute", std::to_string(now + 3));
    set(c, "touched", "0");
    set(c, "prolonged", "2");
    set(c, "never", "0");
    CHECK(c.ask("touch touched 2") == "TOUCHED\r\n");
    CHECK(c.ask("touch prolonged 100") == "TOUCHED\r\n");
    for (const char* key : {"relative", "absolute", "touched", "prolonged"}) {
      CAPTURE(key);
      CHECK(get(c, key) != "END\r\n");
    }
    for (const char* key : {"relative", "touched", "absolute"}) {
      CAPTURE(key);
      CHECK(goes(c, key));
    }
    CHECK(get(c, "prolonged") != "END\r\n");
    CHECK(get(c, "never") != "END\r\n");
  }

  TEST_CASE("somebody sets the clock, and what is to live lives, and what is to go goes") {
    server_with_a_clock server;
    client c{*server};
    const std::time_t now = std::time(nullptr);
    for (const int hour : {3600, -3600}) {
      CAPTURE(hour);
      set(c, "relative", "100");
      set(c, "absolute", std::to_string(now + 100));
      set(c, "soon", "2");
      set(c, "then", std::to_string(std::time(nullptr) + 2));
      server.set(hour);
      CHECK(goes(c, "soon"));  // and so the server has looked at its clock
      CHECK(goes(c, "then"));
      CHECK(get(c, "relative") != "END\r\n");
      CHECK(get(c, "absolute") != "END\r\n");
      set(c, "later", "2");
      set(c, "stays", "100");
      CHECK(goes(c, "later"));
      CHECK(get(c, "stays") != "END\r\n");
      CHECK(c.ask("flush_all 2") == "OK\r\n");
      CHECK(get(c, "stays") != "END\r\n");
      CHECK(goes(c, "stays"));

      set(c, "k", "0");
      const statistics stats{c};
      CHECK(stats.number("uptime") >= 0);
      CHECK(stats.number("uptime") < 100);
      CHECK(stats.number("time") >= now - 2);
      CHECK(stats.number("time") < now + 100);
      CHECK(statistics{c, "items"}.number("items:1:age") < 100);
    }
  }

  // 1.4.25's clock ticks once a second and flush_all works by it, so what is stored in the very second of a flush may
  // go with it. A test can only store again once the clock has moved on: when a key that lives a second is gone.
  TEST_CASE("flush_all") {
    const server_process server;
    client c{server};
    set(c, "a", "0");
    set(c, "b", "100");
    CHECK(c.ask("flush_all") == "OK\r\n");
    CHECK(goes(c, "a"));
    CHECK(goes(c, "b"));
    const auto end = std::chrono::steady_clock::now() + under_test().deadline;
    do set(c, "a", "0");
    while (get(c, "a") == "END\r\n" && std::chrono::steady_clock::now() < end);
    CHECK(get(c, "a") != "END\r\n");
  }

  TEST_CASE("flush_all that waits") {
    const server_process server;
    client c{server};
    set(c, "a", "0");
    CHECK(c.ask("flush_all 2") == "OK\r\n");
    CHECK(get(c, "a") != "END\r\n");
    CHECK(goes(c, "a"));
  }

  TEST_CASE("flush_all that is forbidden") {
    const server_process server{{"-F"}};
    client c{server};
    set(c, "a", "0");
    CHECK(c.ask("flush_all") == "CLIENT_ERROR flush_all not allowed\r\n");
    CHECK(get(c, "a") != "END\r\n");
  }
}

}  // namespace contract
