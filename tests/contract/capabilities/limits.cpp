// limits: -I, -m and -M hold, and what the server gives up for them is the oldest.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

constexpr std::size_t mebibyte = 1024 * 1024;

std::string set_command(const std::string& key, std::size_t length) {
  return "set " + key + " 0 0 " + std::to_string(length) + "\r\n" + std::string(length, 'x');
}

bool has(client& c, const std::string& key) {
  c.send("get " + key + "\r\n");
  return c.receive_until("END\r\n") != "END\r\n";
}

std::string name(std::size_t n) { return "key" + std::to_string(n); }

// Sets until it is refused. How many went in; `most` if it never was.
std::size_t fill(const server_process& server, std::size_t most, std::size_t length, std::string& refusal) {
  client c{server};
  for (std::size_t n = 0; n < most; ++n) {
    refusal = c.ask(set_command(name(n), length));
    if (refusal != "STORED\r\n") return n;
  }
  return most;
}

// A get of a key that is there, after many that are not; `size` bytes without the line end.
std::string get_line(std::size_t size) {
  const std::string miss = std::string(249, 'm') + ' ';
  std::string line = "get ";
  while (line.size() + miss.size() < size) line += miss;
  line += std::string(size - line.size() - 2, 'm') + " a";
  return line;
}

// Sent at once, or in pieces that the server reads one by one.
void send_in_pieces(client& c, std::string_view bytes, std::size_t piece) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    c.send(bytes.substr(0, piece));
    if (piece < bytes.size()) c.wait_until_consumed();
  }
}

}  // namespace

TEST_SUITE("limits") {
  TEST_CASE("a larger -I takes larger values, up to itself") {
    const server_process server{{"-I", "2m"}};
    client c{server};
    CHECK(c.ask(set_command("a", 1'500'000)) == "STORED\r\n");
    CHECK(has(c, "a"));
    client second{server};
    CHECK(second.ask(set_command("b", 2 * mebibyte)) == "SERVER_ERROR object too large for cache\r\n");
  }

  TEST_CASE("without -I, a mebibyte is too large") {
    const server_process server;
    client c{server};
    CHECK(c.ask(set_command("a", 1'048'000)) == "STORED\r\n");
    CHECK(c.ask(set_command("b", mebibyte)) == "SERVER_ERROR object too large for cache\r\n");
  }

  TEST_CASE("a get line of up to 8 MiB is served however it is cut, a longer one refused") {
    const server_process server;
    client c{server};
    REQUIRE(c.ask("set a 0 0 1\r\nx") == "STORED\r\n");
    for (const std::size_t size : {mebibyte - 1, mebibyte, mebibyte + 1, 2 * mebibyte, 8 * mebibyte - 1, 8 * mebibyte,
                                   8 * mebibyte + 1, 9 * mebibyte}) {
      for (const std::size_t piece : {size + 2, std::size_t{64 * 1024}}) {
        CAPTURE(size);
        CAPTURE(piece);
        client asking{server};
        send_in_pieces(asking, get_line(size) + "\r\n", piece);
        if (size <= 8 * mebibyte) {
          CHECK(asking.receive_until("END\r\n") == "VALUE a 0 1\r\nx\r\nEND\r\n");
          CHECK(asking.ask("version").starts_with("VERSION "));
        } else {
          CHECK(asking.receive_rest() == "CLIENT_ERROR line too long\r\n");
        }
      }
    }
    CHECK(c.ask("version").starts_with("VERSION "));
  }

  // Each piece is searched for the line end, and not all that came before.
  TEST_CASE("a long line in many pieces costs no more than as many short lines") {
    const server_process server;
    client c{server};
    constexpr std::size_t piece = 1'024;
    const auto start = server.cpu_time();
    for (std::size_t sent = 0; sent < 4 * mebibyte; sent += piece) {
      c.send(get_line(piece - 2) + "\r\n");
      REQUIRE(c.receive_line() == "END\r\n");
    }
    const auto short_lines = server.cpu_time() - start;
    send_in_pieces(c, get_line(4 * mebibyte) + "\r\n", piece);
    CHECK(c.receive_line() == "END\r\n");
    CHECK(server.cpu_time() - start - short_lines < 4 * short_lines);
  }

  TEST_CASE("the memory for a long line is given back after it") {
    const server_process server;
    client asking{server};
    REQUIRE(asking.ask("version").starts_with("VERSION "));
    const std::size_t before = server.rss_bytes();
    asking.send(get_line(8 * mebibyte) + "\r\n");
    CHECK(asking.receive_until("END\r\n") == "END\r\n");
    CHECK(server.rss_bytes() < before + (under_test().sanitized ? 64 : 4) * mebibyte);
  }

  TEST_CASE("beyond -m, the oldest go and the newest stay") {
    const server_process server{{"-m", "8"}};
    client c{server};
    constexpr std::size_t items = 8'000;
    constexpr std::size_t length = 10'000;
    for (std::size_t n = 0; n < items; ++n) {
      c.send("set " + name(n) + " 0 0 " + std::to_string(length) + " noreply\r\n" + std::string(length, 'x') + "\r\n");
    }
    CHECK(has(c, name(items - 1)));
    CHECK(has(c, name(items - 20)));
    CHECK_FALSE(has(c, name(0)));
    CHECK_FALSE(has(c, name(items / 2)));

    const statistics stats{c};
    CHECK(stats.number("curr_items") * static_cast<long long>(length) < static_cast<long long>(10 * mebibyte));
    CHECK(stats.number("curr_items") > 300);
    CHECK(stats.number("evictions") == static_cast<long long>(items) - stats.number("curr_items"));
    CHECK(stats.number("total_items") == items);
    // 80 MB went in. What it may weigh: -m, the program, and its tables.
    CHECK(server.rss_bytes() < (under_test().sanitized ? 200 : 40) * mebibyte);
  }

  TEST_CASE("what is read stays longer") {
    const server_process server{{"-m", "8"}};
    client c{server};
    CHECK(c.ask(set_command("favourite", 10'000)) == "STORED\r\n");
    for (std::size_t n = 0; n < 300; ++n) REQUIRE(c.ask(set_command(name(n), 10'000)) == "STORED\r\n");
    CHECK(has(c, "favourite"));
  }

  TEST_CASE("with -M, a full server says so, and takes more once something is deleted") {
    const server_process server{{"-M", "-m", "8"}};
    std::string refusal;
    const std::size_t stored = fill(server, 2'000, 10'000, refusal);
    CHECK(refusal == "SERVER_ERROR out of memory storing object\r\n");
    CHECK(stored > 300);
    CHECK(stored < 1'000);
    client c{server};
    CHECK(has(c, name(0)));
    CHECK(has(c, name(stored - 1)));
    CHECK(statistics{c}.number("evictions") == 0);
    CHECK(c.ask("delete " + name(0)) == "DELETED\r\n");
    CHECK(c.ask(set_command("new", 10'000)) == "STORED\r\n");
    CHECK(has(c, "new"));
    client second{server};
    CHECK(second.ask(set_command("newer", 10'000)) == "SERVER_ERROR out of memory storing object\r\n");
  }
}

}  // namespace contract
