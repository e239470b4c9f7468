// A hostile kernel: calls that the server makes fail now and then. It must live, lose nobody, and serve the next
// client.
#include <doctest/doctest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

bool is_version(std::string_view line) { return line.starts_with("VERSION "); }

// A client that is closed without an answer has met a failing call; one that is answered wrongly has not.
void check_that_it_lives(const failing& calls) {
  CAPTURE(calls.call);
  CAPTURE(calls.how);
  const server_process server{calls, {}};
  int answered = 0;
  for (int i = 0; i < 100; ++i) {
    client c{server};
    const std::string line = c.ask("version");
    CHECK((line.empty() || is_version(line)));
    if (is_version(line)) ++answered;
  }
  CHECK(answered >= 50);
}

// The soft limit of a running server's address space. Owns: the limit, which it lifts again.
class memory_limit {
 public:
  memory_limit(const server_process& server, std::size_t spare) : pid_(server.pid()) {
    std::ifstream statm{"/proc/" + std::to_string(pid_) + "/statm"};
    std::size_t pages = 0;
    statm >> pages;
    ::prlimit(pid_, RLIMIT_AS, nullptr, &before_);
    const rlimit tight{pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + spare, before_.rlim_max};
    REQUIRE(::prlimit(pid_, RLIMIT_AS, &tight, nullptr) == 0);
  }
  ~memory_limit() { ::prlimit(pid_, RLIMIT_AS, &before_, nullptr); }
  memory_limit(const memory_limit&) = delete;
  memory_limit& operator=(const memory_limit&) = delete;

 private:
  pid_t pid_;
  rlimit before_{};
};

// As the kernel says. Where it does not say, nobody waits.
bool a_thread_waits_for_a_lock(const server_process& server) {
  for (const auto& task : std::filesystem::directory_iterator{"/proc/" + std::to_string(server.pid()) + "/task"}) {
    std::ifstream file{task.path() / "syscall"};
    long call = -1;
    if (file >> call && call == SYS_futex) return true;
  }
  return false;
}

}  // namespace

TEST_SUITE("line") {
  // None of the last calls fails: with them libevent hears of the signal that ends the test.
  TEST_CASE("calls that fail now and then cost a client, and not the server") {
    if (!calls_can_fail()) return;
    for (const char* error : {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPROTO", "EINTR"}) {
      if (under_test().can("edges")) continue;  // whoever cannot be accepted waits until somebody leaves: no edge comes
      check_that_it_lives({"accept4", std::string{"error="} + error + ":when=2+3"});
    }
    for (const char* error : {"ECONNRESET", "ETIMEDOUT", "EIO"}) {
      check_that_it_lives({"read", std::string{"error="} + error + ":when=40..90+5"});
    }
    check_that_it_lives({"epoll_ctl", "error=ENOMEM:when=40..90+5"});
    check_that_it_lives({"sendmsg", "error=ENOBUFS:when=5..90+5"});
    if (!under_test().can("threads")) check_that_it_lives({"write", "error=ENOBUFS:when=5..90+5"});
  }
}

TEST_SUITE("store") {
  TEST_CASE("no memory for what a client wants is that client's misfortune") {
    if (under_test().sanitized || under_test().can("proxy")) return;
    const server_process server;
    client neighbour{server};
    REQUIRE(is_version(neighbour.ask("version")));
    {
      const memory_limit limit{server, 256 * 1024};
      for (int i = 0; i < 20; ++i) {
        client greedy{server};
        greedy.send("get " + std::string(3'000'000, 'x'));
        greedy.half_close();
        static_cast<void>(greedy.receive_rest());
      }
      CHECK(is_version(neighbour.ask("version")));
    }
    client next{server};
    next.send("set a 0 0 5\r\nhello\r\nget a\r\n");
    CHECK(next.receive_until("END\r\n") == "STORED\r\nVALUE a 0 5\r\nhello\r\nEND\r\n");
  }
}

TEST_SUITE("threads") {
  TEST_CASE("the end comes though no byte can be written to a worker") {
    if (!calls_can_fail()) return;
    // The first write() makes the port file, the second one hands a client in, the third one is libevent's: a signal.
    server_process server{failing{"write", "error=EAGAIN:when=4+"}, {"-t", "2"}};
    client one{server};
    CHECK(is_version(one.ask("version")));
    const std::optional<ending> end = server.stop();
    REQUIRE(end.has_value());
    CHECK(end->text() == ending{true, 0}.text());
  }
}

TEST_SUITE("pause") {
  // A worker that is woken drains its queue, so whose byte was lost waits for the next one to come, and no longer.
  TEST_CASE("a wake-up that is lost costs nobody his turn") {
    if (!calls_can_fail()) return;
    const server_process server{failing{"write", "error=EAGAIN:when=3..21+2"}, {"-t", "1"}};
    std::deque<client> clients;
    for (int i = 0; i < 21; ++i) clients.emplace_back(server).send("version\r\n");
    // The wake-ups of the 2nd, 4th, … are lost. The last one's is not.
    for (client& c : clients) CHECK(is_version(c.receive_line()));
  }

  TEST_CASE("a pause does not wait for an answer to what could not be said") {
    if (!calls_can_fail()) return;
    // The first write() makes the port file, then come a client and libevent's for the signal; then one for each
    // worker.
    server_process server{failing{"write", "error=EAGAIN:when=4..6"}, {"-t", "3"}};
    client one{server};
    CHECK(is_version(one.ask("version")));
    server.signal(SIGUSR1);
    const auto end = std::chrono::steady_clock::now() + under_test().deadline;
    while (!a_thread_waits_for_a_lock(server)) {
      REQUIRE(std::chrono::steady_clock::now() < end);
      ::sched_yield();
    }
    const std::optional<ending> ended = server.stop();
    REQUIRE(ended.has_value());
    CHECK(ended->text() == ending{true, 0}.text());
  }
}

TEST_SUITE("maxconns") {
  TEST_CASE("out of descriptors, whoever's they are, is a reason to wait and not to spin") {
    if (!calls_can_fail()) return;
    for (const char* error : {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"}) {
      CAPTURE(error);
      const server_process server{failing{"accept4", std::string{"error="} + error + ":when=1..20"}, {}};
      client one{server};
      CHECK(is_version(one.ask("version")));
      CHECK(statistics{one}.number("listen_disabled_num") == 20);
    }
  }
}

}  // namespace contract
