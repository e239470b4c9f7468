// Hostile clients: crowds of them, that do nothing, or little, or die; on a server of four workers. What they had must
// come back, and whoever else comes must be served as if there were no crowd.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/net/unique_fd.h"
#include "tests/contract/harness/client.h"
#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

constexpr std::size_t mebibyte = 1024 * 1024;

// As many descriptors as we may have, until the end of the scope.
class many_descriptors {
 public:
  many_descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit most{before_.rlim_max, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &most);
  }
  ~many_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  many_descriptors(const many_descriptors&) = delete;
  many_descriptors& operator=(const many_descriptors&) = delete;

  [[nodiscard]] std::size_t limit() const noexcept { return before_.rlim_max; }

 private:
  rlimit before_{};
};

// One of whom there may be thousands: a client has two descriptors and buffers, this one has a socket.
net::unique_fd connect_only(const server_process& server) {
  net::unique_fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(server.port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::system_error(errno, std::generic_category(), "connect one of a crowd");
  }
  // Its close is a reset, and leaves no TIME_WAIT behind.
  const linger at_once{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  return socket;
}

[[nodiscard]] bool comes_true(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + under_test().deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::sched_yield();
  }
  return true;
}

[[nodiscard]] bool comes_to_descriptors(const server_process& server, std::size_t wanted) {
  return comes_true([&] { return server.open_fds() == wanted; });
}

[[nodiscard]] bool comes_to_connections(client& watcher, long long wanted) {
  return comes_true([&] { return statistics{watcher}.number("curr_connections") == wanted; });
}

// So many commands are answered, in no more time than anybody would call at once.
void expect_service(client& c, int times) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) REQUIRE(c.ask("get nothing") == "END\r\n");
  CHECK(std::chrono::steady_clock::now() - start < under_test().deadline / 5);
}

// ---- clients who die, and what they were doing ----

struct doomed {
  std::string_view state;  // what "stats conns" calls it, where a server has that
  std::string_view what;
  std::string sent;
  bool has_read;  // the beginning of the answer; none of them reads it all
};

constexpr std::size_t large = 900'000;

std::string large_set(const std::string& key) {
  return "set " + key + " 0 0 " + std::to_string(large) + "\r\n" + std::string(large, 'x');
}

// How many large values go into the memory of a server that evicts none.
int how_many_fit(client& c) {
  int stored = 0;
  while (c.ask(large_set("key" + std::to_string(stored))) == "STORED\r\n") ++stored;
  for (int i = 0; i < stored; ++i) REQUIRE(c.ask("delete key" + std::to_string(i)) == "DELETED\r\n");
  return stored;
}

std::vector<doomed> all_who_die() {
  const std::string set = large_set("a");
  const std::string large_get = "get" + repeat(" big", 40) + "\r\n";  // far more than sockets' buffers take
  return {
      {"conn_new_cmd", "new", "", false},
      {"conn_read", "waiting for the next command", "version\r\n", true},
      {"conn_read", "half a line", "get half", false},
      {"conn_read", "half a second line", "get a\r\nget half", true},
      {"conn_nread", "nothing of a value", set.substr(0, set.size() - large), false},
      {"conn_nread", "half a value", set.substr(0, set.size() - large / 2), false},
      {"conn_nread", "a value but for its line feed", set + "\r", false},
      {"conn_swallow", "half a value that is refused", "set a 0 0 2000000\r\n" + std::string(1'000'000, 'x'), false},
      {"conn_new_cmd", "no room for the answer to the next command", repeat("get small\r\n", 8'000), true},
      {"conn_mwrite", "unread values", large_get, false},
      {"conn_mwrite", "values of which the beginning is read", large_get, true},
  };
}

// Two to a worker, all killed at once when they are where they should be.
void let_die(const server_process& server, client& watcher, const doomed& d) {
  constexpr int how_many = 8;
  std::vector<client> clients;
  for (int i = 0; i < how_many; ++i) {
    client& c = clients.emplace_back(server, client_options{.receive_buffer = 4'096});
    c.send(d.sent);
    if (d.has_read) {
      REQUIRE(c.receive(5).size() == 5);
    } else {
      c.wait_until_consumed();
    }
  }
  if (under_test().can("maxconns")) {  // and so has "stats conns"
    CHECK(comes_true([&] {
      const statistics conns{watcher, "conns"};
      return std::ranges::count(conns.lines(), d.state, [](const auto& line) { return line.second; }) >= how_many;
    }));
  }
  for (client& c : clients) c.reset();
}

}  // namespace

TEST_SUITE("threads") {
  TEST_CASE("hostile: a crowd that connects and does nothing") {
    const many_descriptors allowed;
    constexpr std::size_t others = 400;  // descriptors, ours and the server's, that are none of the crowd's
    const std::size_t crowd =
        std::min<std::size_t>((under_test().sanitized ? 1 : 5) * under_test().connects, allowed.limit() - others);
    const server_process server{{"-t", "4", "-c", std::to_string(crowd + others)}};
    client other{server};
    expect_service(other, 50);
    const std::size_t descriptors = server.open_fds();
    const std::size_t wider = under_test().sanitized ? 4 : 1;
    std::size_t memory = server.rss_bytes() + wider * crowd * 16'384;
    for (int round = 1; round <= 2; ++round) {
      CAPTURE(round);
      std::vector<net::unique_fd> idle;
      for (std::size_t i = 0; i < crowd; ++i) {
        idle.push_back(connect_only(server));
        if (i % 50 == 0) expect_service(other, 1);
      }
      REQUIRE(comes_to_descriptors(server, descriptors + crowd));
      expect_service(other, 100);
      idle.clear();
      expect_service(other, 100);
      REQUIRE(comes_to_descriptors(server, descriptors));
      // What the first crowd had may be kept for the next one, who must need no more.
      CHECK(server.rss_bytes() < memory);
      memory = server.rss_bytes() + wider * 4 * mebibyte;
    }
  }

  TEST_CASE("hostile: a crowd that sends a byte at a time, each something else") {
    const many_descriptors allowed;
    constexpr std::size_t others = 400;
    const std::size_t crowd =
        std::min<std::size_t>(under_test().connects / (under_test().sanitized ? 4 : 1), (allowed.limit() - others) / 2);
    const server_process server{{"-t", "4", "-c", std::to_string(crowd + others)}};
    struct slow {
      client connection;
      std::string says;
      std::string hears;
    };
    std::vector<slow> slow_ones;
    std::size_t longest = 0;
    for (std::size_t i = 0; i < crowd; ++i) {
      const std::string key = "key" + std::to_string(i);
      const std::string number = std::to_string(i * i * i);
      const std::string next = std::to_string(i * i * i + 1);
      const std::string set = "set " + key + " 0 0 " + std::to_string(number.size()) + "\r\n" + number + "\r\n";
      const std::string value = "VALUE " + key + " 0 " + std::to_string(next.size()) + "\r\n" + next + "\r\nEND\r\n";
      slow_ones.push_back(
          {client{server}, set + "incr " + key + " 1\r\nget " + key + "\r\n", "STORED\r\n" + next + "\r\n" + value});
      longest = std::max(longest, slow_ones.back().says.size());
    }
    client other{server};
    for (std::size_t n = 0; n < longest; ++n) {
      for (slow& one : slow_ones) {
        if (n < one.says.size()) one.connection.send({&one.says[n], 1});
      }
      expect_service(other, 1);
    }
    for (slow& one : slow_ones) REQUIRE(one.connection.receive(one.hears.size()) == one.hears);
  }

  TEST_CASE("hostile: a crowd that comes and goes") {
    constexpr unsigned at_once = 8;
    const unsigned times = (under_test().sanitized ? 1 : 10) * under_test().connects / at_once / 4 * 4;
    const server_process server{{"-t", "4"}};
    client watcher{server};
    expect_service(watcher, 50);
    const std::size_t descriptors = server.open_fds();
    const std::size_t memory = server.rss_bytes();
    const long long connections = statistics{watcher}.number("curr_connections");
    const long long before = statistics{watcher}.number("total_connections");
    std::vector<std::future<unsigned>> running;
    for (unsigned i = 0; i < at_once; ++i) {
      running.push_back(std::async(std::launch::async, [&] {
        unsigned answered = 0;
        for (unsigned n = 0; n < times; ++n) {
          client c{server};
          switch (n % 4) {
            case 0: break;
            case 1: c.send("get a\r\nget half"); break;
            case 2: answered += c.ask("get a") == "END\r\n"; break;
            case 3:
              c.send("quit\r\n");
              answered += c.receive_rest().empty();
              break;
          }
          c.reset();
        }
        return answered;
      }));
    }
    for (std::future<unsigned>& one : running) CHECK(one.get() == times / 4 * 2);
    expect_service(watcher, 50);
    CHECK(comes_to_descriptors(server, descriptors));
    CHECK(comes_to_connections(watcher, connections));
    CHECK(statistics{watcher}.number("total_connections") <= before + at_once * times);
    CHECK(server.rss_bytes() < memory + (under_test().sanitized ? 32 : 8) * mebibyte);
  }

  TEST_CASE("hostile: clients who are killed in every state") {
    const server_process server{{"-t", "4", "-m", "64", "-M"}};
    client watcher{server};
    expect_service(watcher, 50);
    const std::size_t descriptors = server.open_fds();
    const long long connections = statistics{watcher}.number("curr_connections");
    REQUIRE(watcher.ask("set small 0 0 1000\r\n" + std::string(1'000, 's')) == "STORED\r\n");
    const int room = how_many_fit(watcher);
    for (int round = 1; round <= 3; ++round) {
      for (const doomed& d : all_who_die()) {
        CAPTURE(d.what);
        // A new one each time: whoever holds on to the old one holds on to its memory.
        REQUIRE(watcher.ask(large_set("big")) == "STORED\r\n");
        let_die(server, watcher, d);
        expect_service(watcher, 50);
        REQUIRE(comes_to_descriptors(server, descriptors));
        REQUIRE(comes_to_connections(watcher, connections));
      }
    }
    CHECK(watcher.ask("get a") == "END\r\n");
    REQUIRE(watcher.ask("delete big") == "DELETED\r\n");
    CHECK(how_many_fit(watcher) == room);
  }

  // While the server is stopped, the kernel finishes handshakes for it.
  TEST_CASE("hostile: clients who are dead before they are accepted") {
    const server_process server{{"-t", "4"}};
    client watcher{server};
    expect_service(watcher, 50);
    const std::size_t descriptors = server.open_fds();
    const long long connections = statistics{watcher}.number("curr_connections");
    for (int round = 1; round <= 5; ++round) {
      server.signal(SIGSTOP);
      for (int i = 0; i < 100; ++i) {
        client c{server};
        if (i % 2 == 0) c.send("get a\r\nget half");
        c.reset();
      }
      client alive{server};
      server.signal(SIGCONT);
      expect_service(alive, 50);
      alive.reset();
      REQUIRE(comes_to_descriptors(server, descriptors));
      REQUIRE(comes_to_connections(watcher, connections));
    }
  }
}

}  // namespace contract
