// common/trace/conductor.h: what is asked for over the socket, and what lets the threads go on: the client's end, the
// server's, and the signals that bring it about.
#include "common/trace/conductor.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include "common/net/sockets.h"
#include "common/trace/tracer.h"

namespace {

[[nodiscard]] std::string socket_path() { return "/tmp/drive_machine-conductor-" + std::to_string(getpid()); }

// Who conducts. Owns: its socket.
class client {
 public:
  client() {
    const net::address to = net::unix_address(socket_path());
    REQUIRE(connect(link_.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.length) == 0);
  }
  void send(std::string request) {
    request += '\n';
    REQUIRE(::send(link_.get(), request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
  }
  // The next line; "": the conductor has hung up.
  std::string line() {
    for (;;) {
      if (const auto end = unread_.find('\n'); end != std::string::npos) {
        const std::string first = unread_.substr(0, end);
        unread_.erase(0, end + 1);
        return first;
      }
      char room[4096];
      const ssize_t n = read(link_.get(), room, sizeof room);
      if (n <= 0) return "";
      unread_.append(room, static_cast<std::size_t>(n));
    }
  }
  std::string ask(std::string request) {
    send(std::move(request));
    return line();
  }

 private:
  net::unique_fd link_{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string unread_;
};

// A tracer with a conductor, and a worker that meets one event, opened(9).
struct conducted {
  [[nodiscard]] std::jthread worker() {
    return std::jthread([this] {
      tracer::name_this_thread("worker 1");
      trace.opened(9);
      went_on = true;
    });
  }
  void await() const {
    while (!went_on) std::this_thread::yield();
  }

  std::atomic<bool> went_on = false;
  tracer trace{0, {.conduct = socket_path()}};
};

constexpr std::string_view held = "held\t1\tworker 1\topened\t9\t0\t<9 new client connection";

std::atomic<int> heard_by_the_server = 0;

}  // namespace

TEST_CASE("hold, wait, step, release, where") {
  conducted c;
  client me;
  CHECK(me.ask("hold\tworker 1\topened\t\t1\tnew client") == "ok 1");
  CHECK(me.ask("hold\t\t\t12\t3\t") == "ok 2");
  CHECK(me.ask("wait\t1\t0") == "missed");
  const auto worker = c.worker();
  CHECK(me.ask("wait\t1\t10000") == held);
  CHECK(me.ask("where") == "ok 2");
  CHECK(me.line() == "1: worker 1 is held at opened: <9 new client connection");
  CHECK(me.line() == "2: waits for any thread at any event of 12, 3 times");
  CHECK_FALSE(c.went_on);
  CHECK(me.ask("step\t1") == "ok");
  c.await();
  CHECK(me.ask("release\t1") == "ok");
  CHECK(me.ask("release") == "ok");
  CHECK(me.ask("where") == "ok 0");
}

TEST_CASE("requests are answered in order, also behind one that waits") {
  conducted c;
  client me;
  me.send("hold\tworker 1\t\t\t1\t\nwait\t1\t10000\nrelease\t1\nwhere");
  CHECK(me.line() == "ok 1");
  const auto worker = c.worker();
  CHECK(me.line() == held);
  CHECK(me.line() == "ok");
  CHECK(me.line() == "ok 0");
}

TEST_CASE("what cannot be meant is said") {
  conducted c;
  client me;
  CHECK(me.ask("hold\t\tsleeping\t\t1\t") == "error there is no event sleeping");
  CHECK(me.ask("hold\t\t\tx\t1\t") == "error x is not a descriptor");
  CHECK(me.ask("hold\t\t\t\t0\t") == "error 0 is not a count");
  CHECK(me.ask("wait\t1\t5") == "error no rule has the number 1");
  CHECK(me.ask("release\tx") == "error no rule has the number x");
  CHECK(me.ask("step\t1") == "error nobody is held by a rule with the number 1");
  CHECK(me.ask("hold\t\t\t\t1\t") == "ok 1");
  CHECK(me.ask("wait\t1\t") == "error  is not a number of milliseconds");
  CHECK(me.ask("step\t1") == "error nobody is held by a rule with the number 1");
  CHECK(me.ask("dance").starts_with("error it is: hold THREAD"));
  CHECK(me.ask("where") == "ok 1");
  CHECK(me.line() == "1: waits for any thread at any event");
  me.send(std::string(5000, 'x'));
  CHECK(me.line() == "");
}

TEST_CASE("only the owner may open the socket, and it is gone at the end; who comes second waits") {
  {
    conducted c;
    struct stat file;
    REQUIRE(lstat(socket_path().c_str(), &file) == 0);
    CHECK((file.st_mode & 07777) == 0600);
    CHECK_THROWS_WITH_AS(conductor{socket_path()}, ("bind unix:" + socket_path() + ": Address already in use").c_str(),
                         std::system_error);
    std::optional<client> first(std::in_place);
    CHECK(first->ask("where") == "ok 0");
    client second;
    second.send("where");
    first.reset();
    CHECK(second.line() == "ok 0");
  }
  struct stat file;
  CHECK(lstat(socket_path().c_str(), &file) == -1);
}

TEST_CASE("when the client goes, all threads go on") {
  conducted c;
  std::optional<client> me(std::in_place);
  CHECK(me->ask("hold\t\topened\t\t1\t") == "ok 1");
  const auto worker = c.worker();
  CHECK(me->ask("wait\t1\t10000") == held);
  me.reset();
  c.await();
}

TEST_CASE("when the server ends, all threads go on") {
  std::optional<client> me;
  std::jthread worker;
  {
    conducted c;
    me.emplace();
    CHECK(me->ask("hold\t\topened\t\t1\t") == "ok 1");
    worker = c.worker();
    CHECK(me->ask("wait\t1\t10000") == held);
    c.trace.let_go();
    c.await();
    worker.join();
  }
  CHECK(me->line() == "");
}

TEST_CASE("a signal that ends the server lets all threads go on, though the thread that hears it is held") {
  struct sigaction mine {
  }, before;
  mine.sa_handler = [](int) { ++heard_by_the_server; };
  sigaction(SIGTERM, &mine, &before);
  {
    conducted c;
    client me;
    CHECK(me.ask("hold\t\topened\t\t1\t") == "ok 1");
    const auto worker = c.worker();
    CHECK(me.ask("wait\t1\t10000") == held);
    raise(SIGTERM);
    c.await();
    CHECK(me.ask("where") == "error the server ends");
    CHECK(heard_by_the_server == 1);
  }
  struct sigaction now;
  sigaction(SIGTERM, &before, &now);
  CHECK((now.sa_handler == mine.sa_handler));
}

// As at the start of a server, and all the time in a proxy, which reads its signals.
TEST_CASE("so does one that waits in the kernel, and it is left there") {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  {
    conducted c;
    client me;
    CHECK(me.ask("hold\t\topened\t\t1\t") == "ok 1");
    const auto worker = c.worker();
    CHECK(me.ask("wait\t1\t10000") == held);
    kill(getpid(), SIGINT);
    c.await();
    int number = 0;
    CHECK(sigwait(&set, &number) == 0);
    CHECK(number == SIGINT);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}
