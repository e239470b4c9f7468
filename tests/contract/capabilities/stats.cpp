// stats: the numbers are there, in memcached's order, and each command moves the right ones by the right amount.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
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

// The general group of 1.4.25, all of it. A server may put others in between.
constexpr std::array general{
    "pid",
    "uptime",
    "time",
    "version",
    "libevent",
    "pointer_size",
    "rusage_user",
    "rusage_system",
    "curr_connections",
    "total_connections",
    "connection_structures",
    "reserved_fds",
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "get_hits",
    "get_misses",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "auth_cmds",
    "auth_errors",
    "bytes_read",
    "bytes_written",
    "limit_maxbytes",
    "accepting_conns",
    "listen_disabled_num",
    "time_in_listen_disabled_us",
    "threads",
    "conn_yields",
    "hash_power_level",
    "hash_bytes",
    "hash_is_expanding",
    "malloc_fails",
    "bytes",
    "curr_items",
    "total_items",
    "expired_unfetched",
    "evicted_unfetched",
    "evictions",
    "reclaimed",
    "crawler_reclaimed",
    "crawler_items_checked",
    "lrutail_reflocked",
};

// Are `names` among the lines, in this order? The first that is not, or "".
template <typename names>
std::string first_missing(const statistics& stats, const names& wanted) {
  auto at = stats.lines().begin();
  for (const std::string_view name : wanted) {
    at = std::find_if(at, stats.lines().end(), [&](const auto& line) { return line.first == name; });
    if (at == stats.lines().end()) return std::string{name};
  }
  return "";
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos;
}

// A command, and by how much it moves which counters.
struct movement {
  std::string command;
  std::string answer;
  std::map<std::string, long long> by;
};

const std::vector<std::string> counters{
    "cmd_get",     "cmd_set",     "cmd_flush",    "cmd_touch",   "get_hits",    "get_misses", "delete_misses",
    "delete_hits", "incr_misses", "incr_hits",    "decr_misses", "decr_hits",   "cas_misses", "cas_hits",
    "cas_badval",  "touch_hits",  "touch_misses", "curr_items",  "total_items",
};

std::vector<movement> movements() {
  return {
      {"get n", "END\r\n", {{"cmd_get", 1}, {"get_misses", 1}}},
      {"set n 0 0 2\r\n10", "STORED\r\n", {{"cmd_set", 1}, {"curr_items", 1}, {"total_items", 1}}},
      {"set n 0 0 2\r\n10", "STORED\r\n", {{"cmd_set", 1}, {"total_items", 1}}},
      {"get n", "VALUE n 0 2\r\n10\r\nEND\r\n", {{"cmd_get", 1}, {"get_hits", 1}}},
      {"get n x n y",
       "VALUE n 0 2\r\n10\r\nVALUE n 0 2\r\n10\r\nEND\r\n",
       {{"cmd_get", 4}, {"get_hits", 2}, {"get_misses", 2}}},
      {"add n 0 0 1\r\nx", "NOT_STORED\r\n", {{"cmd_set", 1}}},
      {"incr n 1", "11\r\n", {{"incr_hits", 1}}},
      {"incr x 1", "NOT_FOUND\r\n", {{"incr_misses", 1}}},
      {"decr n 1", "10\r\n", {{"decr_hits", 1}}},
      {"decr x 1", "NOT_FOUND\r\n", {{"decr_misses", 1}}},
      {"cas x 0 0 1 1\r\n1", "NOT_FOUND\r\n", {{"cmd_set", 1}, {"cas_misses", 1}}},
      {"cas n 0 0 1 18446744073709551615\r\n1", "EXISTS\r\n", {{"cmd_set", 1}, {"cas_badval", 1}}},
      {"touch n 0", "TOUCHED\r\n", {{"cmd_touch", 1}, {"touch_hits", 1}}},
      {"touch x 0", "NOT_FOUND\r\n", {{"cmd_touch", 1}, {"touch_misses", 1}}},
      {"delete n", "DELETED\r\n", {{"delete_hits", 1}, {"curr_items", -1}}},
      {"delete n", "NOT_FOUND\r\n", {{"delete_misses", 1}}},
      {"flush_all", "OK\r\n", {{"cmd_flush", 1}}},
      {"version", "VERSION", {}},
      {"nonsense", "ERROR\r\n", {}},
  };
}

}  // namespace

TEST_SUITE("stats") {
  TEST_CASE("the general group") {
    const server_process server;
    client c{server};
    const statistics stats{c};
    CHECK(first_missing(stats, general) == "");
    for (const auto& line : stats.lines()) {
      if (line.first == "libevent") continue;
      CAPTURE(line.first);
      CHECK(is_number(line.second));
    }
    CHECK(stats.number("pid") == server.pid());
    CHECK(stats.number("pointer_size") == 64);
    CHECK(stats.number("limit_maxbytes") == 64 * 1024 * 1024);
    CHECK(stats.number("curr_items") == 0);
    CHECK(c.ask("version") == "VERSION " + stats.text("version") + "\r\n");
  }

  TEST_CASE("each command moves its counters, and no others") {
    const server_process server;
    client c{server};
    for (const movement& m : movements()) {
      CAPTURE(m.command);
      const statistics before{c};
      c.send(m.command + "\r\n");
      const std::string answer = m.answer.ends_with("\r\n") ? c.receive(m.answer.size()) : c.receive_line();
      CHECK(answer.starts_with(m.answer));
      const statistics after{c};
      for (const std::string& counter : counters) {
        CAPTURE(counter);
        const long long by = m.by.contains(counter) ? m.by.at(counter) : 0;
        CHECK(after.number(counter) - before.number(counter) == by);
      }
    }
  }

  TEST_CASE("bytes read and written are counted to the byte") {
    const server_process server;
    client c{server};
    const statistics before{c};
    std::string commands = "set a 0 0 1000\r\n" + std::string(1'000, 'x') + "\r\n";
    const std::string answers = "STORED\r\nVALUE a 0 1000\r\n" + std::string(1'000, 'x') + "\r\nEND\r\n";
    c.send(commands);
    CHECK(c.receive_line() == "STORED\r\n");
    c.send("get a\r\n");
    CHECK(c.receive_until("END\r\n").size() == answers.size() - 8);
    const statistics after{c};
    // Between the two questions: the first answer, and all from the set to the second question.
    std::size_t first_answer = 5;
    for (const auto& [name, value] : before.lines()) first_answer += 5 + name.size() + 1 + value.size() + 2;
    CHECK(after.number("bytes_read") - before.number("bytes_read") ==
          static_cast<long long>(commands.size() + std::string_view{"get a\r\nstats\r\n"}.size()));
    CHECK(after.number("bytes_written") - before.number("bytes_written") ==
          static_cast<long long>(answers.size() + first_answer));
  }

  TEST_CASE("connections are counted") {
    const server_process server;
    client c{server};
    const statistics before{c};
    CHECK(before.number("curr_connections") == 1);
    {
      client second{server};
      client third{server};
      REQUIRE(second.ask("version").starts_with("VERSION "));
      REQUIRE(third.ask("version").starts_with("VERSION "));
      const statistics during{c};
      CHECK(during.number("curr_connections") == before.number("curr_connections") + 2);
      CHECK(during.number("total_connections") == before.number("total_connections") + 2);
      CHECK(during.number("connection_structures") >= before.number("connection_structures") + 2);
      second.send("quit\r\n");
      third.send("quit\r\n");
      REQUIRE(second.receive_rest() == "");
      REQUIRE(third.receive_rest() == "");
    }
    const statistics after{c};
    CHECK(after.number("curr_connections") == before.number("curr_connections"));
    CHECK(after.number("total_connections") == before.number("total_connections") + 2);
    // Without reuse, who leaves takes his structure with him.
    const long long structures = after.number("connection_structures") - before.number("connection_structures");
    CHECK(structures == (under_test().can("reuse") ? 2 : 0));
  }

  TEST_CASE("-vv tells what a client asked, and what it is sent") {
    const server_process server{{"-vv"}};
    client c{server};
    CHECK(c.ask("set a 0 0 1\r\nx") == "STORED\r\n");
    c.send("get b a\r\n");
    CHECK(c.receive_until("END\r\n") == "VALUE a 0 1\r\nx\r\nEND\r\n");
    const std::string output = server.output();
    CHECK(output.find(" set a 0 0 1\n") != std::string::npos);
    CHECK(output.find(" STORED\n") != std::string::npos);
    CHECK(output.find(" get b a\n") != std::string::npos);
    CHECK(output.find(" sending key a\n") != std::string::npos);
    CHECK(output.find(" sending key b\n") == std::string::npos);
  }

  TEST_CASE("reset sets the counters to zero and leaves the values alone") {
    const server_process server;
    client c{server};
    CHECK(c.ask("set a 0 0 1\r\nx") == "STORED\r\n");
    CHECK(c.ask("set b 0 0 1000\r\n" + std::string(1'000, 'x')) == "STORED\r\n");
    CHECK(c.ask("delete b") == "DELETED\r\n");
    CHECK(c.ask("get b") == "END\r\n");
    CHECK(c.ask("stats reset") == "RESET\r\n");
    const statistics stats{c};
    for (const char* counter : {"cmd_get", "cmd_set", "get_hits", "get_misses", "total_items", "evictions"}) {
      CAPTURE(counter);
      CHECK(stats.number(counter) == 0);
    }
    for (const char* counter : {"total_connections", "delete_hits", "conn_yields", "listen_disabled_num"}) {
      CAPTURE(counter);
      CHECK(stats.number(counter) == 0);
    }
    CHECK(stats.number("bytes_read") == static_cast<long long>(std::string_view{"stats\r\n"}.size()));
    CHECK(stats.number("bytes_written") == static_cast<long long>(std::string_view{"RESET\r\n"}.size()));
    CHECK(stats.number("curr_items") == 1);
    CHECK(stats.number("curr_connections") == 1);
    CHECK(stats.number("connection_structures") >= 2);
    CHECK(c.ask("get a") == "VALUE a 0 1\r\n");
  }

  TEST_CASE("stats items") {
    const server_process server;
    client c{server};
    CHECK(statistics{c, "items"}.lines().empty());
    for (const char* key : {"a", "b", "c"}) REQUIRE(c.ask(std::string{"set "} + key + " 0 0 1\r\nx") == "STORED\r\n");
    const statistics items{c, "items"};
    CHECK(first_missing(
              items, std::array{"items:1:number", "items:1:age", "items:1:evicted", "items:1:evicted_nonzero",
                                "items:1:evicted_time", "items:1:outofmemory", "items:1:tailrepairs",
                                "items:1:reclaimed", "items:1:expired_unfetched", "items:1:evicted_unfetched"}) == "");
    CHECK(items.number("items:1:number") == 3);
    for (const auto& line : items.lines()) {
      CAPTURE(line.first);
      CHECK(is_number(line.second));
    }
  }

  TEST_CASE("stats slabs") {
    const server_process server;
    client c{server};
    CHECK(c.ask("set a 0 0 1\r\nx") == "STORED\r\n");
    CHECK(c.ask("get a") == "VALUE a 0 1\r\n");
    CHECK(c.receive_until("END\r\n") == "x\r\nEND\r\n");
    const statistics slabs{c, "slabs"};
    CHECK(first_missing(slabs, std::array{"1:chunk_size", "1:chunks_per_page", "1:total_pages", "1:total_chunks",
                                          "1:used_chunks", "1:free_chunks", "1:free_chunks_end", "1:get_hits",
                                          "1:cmd_set", "1:delete_hits", "1:incr_hits", "1:decr_hits", "1:cas_hits",
                                          "1:cas_badval", "1:touch_hits", "active_slabs", "total_malloced"}) == "");
    CHECK(slabs.number("1:used_chunks") == 1);
    CHECK(slabs.number("1:get_hits") == 1);
    CHECK(slabs.number("1:cmd_set") == 1);
    CHECK(slabs.number("1:total_chunks") == slabs.number("1:total_pages") * slabs.number("1:chunks_per_page"));
    CHECK(slabs.number("1:free_chunks") + slabs.number("1:free_chunks_end") == slabs.number("1:total_chunks") - 1);
    CHECK(slabs.number("1:chunk_size") * slabs.number("1:chunks_per_page") <= 1024 * 1024);
  }

  TEST_CASE("stats settings") {
    const server_process server{{"-c", "200", "-m", "10", "-I", "2m", "-f", "1.5", "-n", "64"}};
    client c{server};
    const statistics settings{c, "settings"};
    CHECK(first_missing(settings, std::array{"maxbytes", "maxconns", "tcpport", "inter", "verbosity", "evictions",
                                             "growth_factor", "chunk_size", "cas_enabled", "item_size_max",
                                             "flush_enabled"}) == "");
    CHECK(settings.number("maxbytes") == 10 * 1024 * 1024);
    CHECK(settings.number("maxconns") == 200);
    CHECK(settings.number("item_size_max") == 2 * 1024 * 1024);
    CHECK(settings.number("chunk_size") == 64);
    CHECK(settings.text("inter") == "127.0.0.1");
    CHECK(settings.text("evictions") == "on");
    CHECK(settings.text("growth_factor") == "1.50");
    CHECK(settings.text("detail_enabled") == "no");
    CHECK(c.ask("stats detail on") == "OK\r\n");
    CHECK(statistics{c, "settings"}.text("detail_enabled") == "yes");
  }

  TEST_CASE("groups that there are not, and cachedump") {
    const server_process server;
    client c{server};
    CHECK(c.ask("stats nonsense") == "ERROR\r\n");
    CHECK(c.ask("set a 0 0 1\r\nx") == "STORED\r\n");
    CHECK(c.ask("set b 0 0 3\r\nxyz") == "STORED\r\n");
    CHECK(c.ask("stats cachedump") == "CLIENT_ERROR bad command line\r\n");
    // Where the LRU has segments, an item is not shown until a thread has moved it.
    std::string dump = "END\r\n";
    const auto end = std::chrono::steady_clock::now() + under_test().deadline;
    while (dump == "END\r\n" && std::chrono::steady_clock::now() < end) {
      c.send("stats cachedump 1 1\r\n");
      dump = c.receive_until("END\r\n");
    }
    CHECK(dump.starts_with("ITEM "));
    CHECK(std::ranges::count(dump, '\n') == 2);
  }
}

}  // namespace contract
