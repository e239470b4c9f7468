// maxconns: out of descriptors (-c). With -o maxconns_fast the one too many is told so; without it, it waits until
// another one leaves.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <future>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/net/unique_fd.h"
#include "tests/contract/harness/client.h"
#include "tests/contract/harness/printable.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

constexpr const char* limit = "60";
constexpr std::string_view too_many = "ERROR Too many open connections\r\n";

// Asks again and again, until the statistics are as they should be.
template <typename Condition>
void wait_until(client& watcher, const std::string& what, Condition reached) {
  const auto end = std::chrono::steady_clock::now() + under_test().deadline;
  while (!reached(statistics{watcher})) {
    if (std::chrono::steady_clock::now() > end) throw deadline_passed("the statistics never said: " + what);
    ::sched_yield();
  }
}

void wait_until_accepting(client& watcher, long long accepting) {
  wait_until(watcher, "accepting_conns " + std::to_string(accepting),
             [&](const statistics& st) { return st.number("accepting_conns") == accepting; });
}

void leave(client& c) {
  c.send("quit\r\n");
  static_cast<void>(c.receive_rest());
}

// Connects, and asks for the version, until the listeners are muted; all whom it returns are inside. A server may
// notice that it is full when it has given out the last descriptor, or only when it wants one more, and then somebody
// waits.
std::vector<client> fill(const server_process& server, client& watcher) {
  std::vector<client> crowd;
  const statistics start{watcher};
  bool full = start.number("accepting_conns") == 0;
  bool all_inside = true;
  const auto look = [&](const statistics& st) {
    const long long arrived = st.number("total_connections") - start.number("total_connections");
    full = st.number("accepting_conns") == 0;
    all_inside = arrived == static_cast<long long>(crowd.size());
    return full || all_inside;
  };
  while (!full) {
    crowd.emplace_back(server).send("version\r\n");
    wait_until(watcher, "one more connection, or accepting_conns 0", look);
  }
  if (!all_inside) {
    leave(crowd.front());
    wait_until(watcher, "the last one is inside", [&](const statistics& st) { return look(st) && all_inside; });
    crowd.erase(crowd.begin());
  }
  return crowd;
}

// Where it listens, one port for each -l.
std::vector<int> ports_of(const server_process& server) {
  std::vector<int> ports;
  std::ifstream file{server.directory() / "port"};
  const std::string label = "TCP INET: ";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(label)) ports.push_back(std::stoi(line.substr(label.size())));
  }
  return ports;
}

// Each is served in its turn, and then makes room.
void see_served(std::vector<client>& queue) {
  for (client& one : queue) {
    const std::string answer = one.receive_line();
    if (!answer.starts_with("VERSION ")) throw std::runtime_error("one who waited was answered " + printable(answer));
    leave(one);
  }
}

// A connection that tells a reset from the end of the stream, which a `client` does not. Owns: the socket.
class bare_client {
 public:
  explicit bare_client(int port) : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::system_error(errno, std::generic_category(), "connect");
    }
  }

  void send(std::string_view bytes) {
    if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
      throw std::system_error(errno, std::generic_category(), "send");
    }
  }

  // All until the server closes. Throws std::system_error when that is by a reset.
  [[nodiscard]] std::string receive_rest() {
    std::string all;
    for (;;) {
      pollfd awaited{socket_.get(), POLLIN, 0};
      if (::poll(&awaited, 1, static_cast<int>(under_test().deadline.count())) != 1) {
        throw deadline_passed("the server has not closed the connection within the deadline");
      }
      std::array<char, 4096> bytes;
      const ssize_t n = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
      if (n < 0) throw std::system_error(errno, std::generic_category(), "after " + printable(all));
      if (n == 0) return all;
      all.append(bytes.data(), static_cast<std::size_t>(n));
    }
  }

 private:
  net::unique_fd socket_;
};

}  // namespace

TEST_SUITE("maxconns") {
  TEST_CASE("maxconns_fast: the one too many is told so, and those before it are served") {
    const server_process server{{"-c", limit, "-o", "maxconns_fast"}};
    std::vector<client> crowd;
    std::string answer = "VERSION ";
    while (answer.starts_with("VERSION ")) {
      REQUIRE(crowd.size() < 60);
      answer = crowd.emplace_back(server).ask("version");
    }
    CHECK(answer == too_many);
    CHECK(crowd.back().receive_rest() == "");
    crowd.pop_back();
    REQUIRE(crowd.size() >= 10);

    constexpr long long others = 100;
    for (long long i = 0; i < others; ++i) {
      client refused{server};
      REQUIRE(refused.receive_rest() == too_many);
    }
    for (client& one : crowd) CHECK(one.ask("get a") == "END\r\n");
    const statistics st{crowd.front()};
    CHECK(st.number("rejected_connections") == others + 1);
    CHECK(st.number("listen_disabled_num") == 0);
    CHECK(st.number("accepting_conns") == 1);

    leave(crowd.back());
    crowd.pop_back();
    client next{server};
    CHECK(next.ask("version").starts_with("VERSION "));
  }

  // The server is stopped while they ask, so that it finds their requests when it comes to refuse them.
  TEST_CASE("maxconns_fast: who has asked already reads the line and the end of the stream, and meets no reset") {
    const server_process server{{"-c", limit, "-o", "maxconns_fast"}};
    std::vector<client> crowd;
    while (crowd.emplace_back(server).ask("version") != too_many) REQUIRE(crowd.size() < 60);

    server.signal(SIGSTOP);
    std::vector<bare_client> refused;
    for (int i = 0; i < 20; ++i) refused.emplace_back(server.port()).send("version\r\n");
    server.signal(SIGCONT);
    for (bare_client& one : refused) CHECK(one.receive_rest() == too_many);
  }

  TEST_CASE("a client for whom there is no descriptor waits until another one leaves") {
    const server_process server{{"-c", limit}};
    client watcher{server};
    for (int round = 1; round <= 20; ++round) {
      CAPTURE(round);
      const statistics before{watcher};
      std::vector<client> crowd = fill(server, watcher);
      REQUIRE(crowd.size() >= 10);
      CHECK(statistics{watcher}.number("listen_disabled_num") > before.number("listen_disabled_num"));
      crowd.emplace_back(server).send("version\r\n");  // a muted listener's queue has room for one

      leave(crowd.front());
      REQUIRE(crowd.back().receive_line().starts_with("VERSION "));
      for (auto one = crowd.begin() + 1; one != crowd.end() - 1; ++one) {
        REQUIRE(one->receive_line().starts_with("VERSION "));
        REQUIRE(one->ask("get a") == "END\r\n");
      }
      for (auto one = crowd.begin() + 1; one != crowd.end(); ++one) leave(*one);
      wait_until_accepting(watcher, 1);
      CHECK(statistics{watcher}.number("time_in_listen_disabled_us") > before.number("time_in_listen_disabled_us"));
    }
    CHECK(watcher.ask("version").starts_with("VERSION "));
  }

  // The news of a free descriptor and the end of the descriptors come at the same moment, again and again.
  TEST_CASE("nobody is forgotten when one leaves while another one comes") {
    const server_process server{{"-c", limit}};
    client watcher{server};
    std::vector<client> crowd = fill(server, watcher);
    for (int round = 1; round <= 100; ++round) {
      CAPTURE(round);
      client oldest = std::move(crowd.front());
      crowd.erase(crowd.begin());
      std::future<void> leaving = std::async(std::launch::async, [&] { oldest.reset(); });
      client& next = crowd.emplace_back(server);
      REQUIRE(next.ask("version").starts_with("VERSION "));
      leaving.get();
    }
  }

  // The kernel does not refuse those for whom the queue has no room: it lets them repeat their SYN, a second later.
  TEST_CASE("a crowd that waits outside gets in when there is room") {
    std::vector<std::future<std::string>> outside;  // outlives the server, whose end ends a connect() that still waits
    const server_process server{{"-c", limit}};
    client watcher{server};
    std::vector<client> crowd = fill(server, watcher);
    for (int i = 0; i < 5; ++i) {
      outside.push_back(std::async(std::launch::async, [&] { return client{server}.ask("version"); }));
    }
    for (std::size_t i = 0; i < 8; ++i) leave(crowd[i]);
    for (std::future<std::string>& one : outside) {
      REQUIRE(one.wait_for(under_test().deadline) == std::future_status::ready);
      CHECK(one.get().starts_with("VERSION "));
    }
    crowd.clear();
    wait_until_accepting(watcher, 1);
  }

  // While the server is stopped, the kernel finishes handshakes for it: more clients than there are descriptors wait
  // for both listeners at once. Nobody else keeps the order, so each queue needs somebody who sees to it.
  TEST_CASE("out of descriptors again and again, and no listener stays muted") {
    constexpr int each = 25;
    const server_process server{{"-c", limit, "-l", "127.0.0.1"}};
    const std::vector<int> ports = ports_of(server);
    REQUIRE(ports.size() == 2);
    client watcher{server};
    for (int round = 1; round <= (under_test().sanitized ? 10 : 100); ++round) {
      CAPTURE(round);
      const statistics before{watcher};
      server.signal(SIGSTOP);
      std::vector<client> first;
      std::vector<client> second;
      for (int i = 0; i < each; ++i) {
        first.emplace_back(ports[0]).send("version\r\n");
        second.emplace_back(ports[1]).send("version\r\n");
      }
      server.signal(SIGCONT);
      wait_until(watcher, "one time more out of descriptors", [&](const statistics& st) {
        return st.number("listen_disabled_num") > before.number("listen_disabled_num");
      });
      std::future<void> served = std::async(std::launch::async, [&] { see_served(first); });
      see_served(second);
      served.get();
      wait_until_accepting(watcher, 1);
      for (const int port : ports) REQUIRE(client{port}.ask("version").starts_with("VERSION "));
      CHECK(statistics{watcher}.number("total_connections") - before.number("total_connections") == 2 * each + 2);
    }
  }

  // With more descriptors than it was started with, a server has no connections for the last clients: its workers turn
  // them away. They rest until all descriptors are taken, so that nobody but those who are turned away makes room.
  TEST_CASE("who is turned away by a worker makes room, too") {
    if (under_test().sanitized) return;  // UBSan looks at an exception through a pipe, for which there is no room here
    constexpr rlim_t more = 80;
    const server_process server{{"-c", limit}};
    client watcher{server};
    REQUIRE(watcher.ask("version").starts_with("VERSION "));
    rlimit descriptors{};
    REQUIRE(::prlimit(server.pid(), RLIMIT_NOFILE, nullptr, &descriptors) == 0);
    descriptors.rlim_cur = more;
    REQUIRE(::prlimit(server.pid(), RLIMIT_NOFILE, &descriptors, nullptr) == 0);

    server.signal(SIGUSR1);
    const std::string last = "/proc/" + std::to_string(server.pid()) + "/fd/" + std::to_string(more - 1);
    std::vector<client> crowd;
    while (!std::filesystem::exists(last)) {
      const std::size_t taken = server.open_fds();
      crowd.emplace_back(server);
      const auto end = std::chrono::steady_clock::now() + under_test().deadline;
      while (server.open_fds() == taken) {
        REQUIRE(std::chrono::steady_clock::now() < end);
        ::sched_yield();
      }
    }
    const client one_more{server};  // for whom accept4 finds no descriptor
    server.signal(SIGUSR2);
    wait_until(watcher, "listen_disabled_num 1",
               [](const statistics& st) { return st.number("listen_disabled_num") > 0; });
    wait_until_accepting(watcher, 1);
    CHECK(crowd.front().ask("version").starts_with("VERSION "));
    CHECK(crowd.back().receive_rest() == "");
  }

  TEST_CASE("stats conns: address, state and idle time of every connection") {
    const server_process server;
    client c{server};
    client idle{server};
    REQUIRE(idle.ask("version").starts_with("VERSION "));
    const statistics conns{c, "conns"};
    const auto has_value = [&](std::string_view value) {
      return std::ranges::count_if(conns.lines(), [&](const auto& line) { return line.second == value; });
    };
    CHECK(has_value("conn_listening") == 1);
    CHECK(has_value("tcp:127.0.0.1:" + std::to_string(server.port())) == 1);
    CHECK(static_cast<long long>(conns.lines().size()) == 3 * (statistics{c}.number("curr_connections") + 1));
    int clients = 0;
    for (const auto& line : conns.lines()) {
      const std::string& name = line.first;
      CAPTURE(name);
      const std::string number = name.substr(0, name.find(':'));
      REQUIRE(conns.has(number + ":state"));
      CHECK(conns.text(number + ":state").starts_with("conn_"));
      CHECK(conns.text(number + ":addr").starts_with("tcp:127.0.0.1:"));
      CHECK(conns.number(number + ":secs_since_last_cmd") >= 0);
      CHECK(conns.number(number + ":secs_since_last_cmd") < 3'600);
      if (name.ends_with(":state") && line.second != "conn_listening") ++clients;
    }
    CHECK(clients == 2);
  }
}

}  // namespace contract
