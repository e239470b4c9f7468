// Hostile clients: those that send what is no command, or nearly one. The generator is seeded: every run sends the
// same.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <random>
#include <string>
#include <string_view>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"

namespace contract {
namespace {

constexpr std::size_t length = 64 * 1024;

class generator {
 public:
  explicit generator(unsigned seed) : random_{seed} {}

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  char byte() { return static_cast<char>(below(256)); }

  // Any bytes at all. Not 0x80 first, which announces another protocol.
  std::string bytes() {
    std::string all = "x";
    while (all.size() < length) all += byte();
    return all;
  }

  // Lines of printable characters, most of them short.
  std::string lines() {
    std::string all;
    while (all.size() < length) {
      for (std::size_t n = below(60); n > 0; --n) all += static_cast<char>(' ' + below(95));
      all += below(4) == 0 ? "\n" : "\r\n";
    }
    return all;
  }

  // The words of the protocol in any order, with numbers of all sizes, and now and then a stray byte.
  std::string commands() {
    static constexpr std::array<std::string_view, 36> words{"get",
                                                            "gets",
                                                            "set",
                                                            "add",
                                                            "replace",
                                                            "append",
                                                            "prepend",
                                                            "cas",
                                                            "delete",
                                                            "incr",
                                                            "decr",
                                                            "touch",
                                                            "stats",
                                                            "version",
                                                            "a",
                                                            "b",
                                                            "0",
                                                            "1",
                                                            "5",
                                                            "-1",
                                                            "30",
                                                            "100",
                                                            "4294967295",
                                                            "2147483648",
                                                            "18446744073709551615",
                                                            "99999999999999999999999",
                                                            "noreply",
                                                            "items",
                                                            "slabs",
                                                            "reset",
                                                            "sizes",
                                                            "bget",
                                                            "\0",
                                                            "x",
                                                            "conns",
                                                            "settings"};
    std::string all;
    while (all.size() < length) {
      for (std::size_t n = 1 + below(7); n > 0; --n) {
        all += words[below(words.size())];
        all += below(20) == 0 ? byte() : ' ';
      }
      all += below(30) == 0 ? "" : "\r\n";
    }
    return all;
  }

 private:
  std::mt19937 random_;
};

// In pieces of random lengths, until all is sent or the server wants no more. Then it must answer what it can, and
// close.
void suffer(const server_process& server, generator& g, std::string_view garbage) {
  client c{server};
  while (!garbage.empty()) {
    const std::size_t n = c.send_some(garbage.substr(0, 1 + g.below(2'000)), std::chrono::milliseconds{20});
    if (n == 0) break;
    garbage.remove_prefix(n);
  }
  c.half_close();
  static_cast<void>(c.receive_rest());
}

void survive(std::string (generator::*garbage)()) {
  const server_process server;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    generator g{seed};
    suffer(server, g, (g.*garbage)());
    REQUIRE(client{server}.ask("version").starts_with("VERSION "));
  }
}

}  // namespace

TEST_SUITE("line") {
  TEST_CASE("hostile: random bytes") { survive(&generator::bytes); }
  TEST_CASE("hostile: random lines") { survive(&generator::lines); }
  TEST_CASE("hostile: random words of the protocol") { survive(&generator::commands); }
}

}  // namespace contract
