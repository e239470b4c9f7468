// common/trace/holding.h: which thread is held where, what time it is meanwhile, and who goes on when.
#include "common/trace/holding.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/basics/stoppable_clock.h"
#include "common/trace/tracer.h"

using kind = trace_event::kind;

namespace {

// A tracer whose only sink is `here`, which outlives it.
class forwarder : public trace_sink {
 public:
  explicit forwarder(holding& here) : here_(here) {}
  void hear(const trace_event& e) noexcept override { here_.hear(e); }
  bool hear_timer(const trace_event& e) noexcept override { return here_.hear_timer(e); }
  void let_go() noexcept override { here_.let_go(); }

 private:
  holding& here_;
};

struct stage {
  stage() { trace.add(std::make_unique<forwarder>(here)); }

  // Does it in a thread of this name.
  [[nodiscard]] std::jthread play(std::string name, std::function<void()> what) {
    return std::jthread([name = std::move(name), what = std::move(what)] {
      tracer::name_this_thread(name);
      what();
    });
  }
  // Returns where the rule's thread is held, once it is.
  held_thread await(unsigned number) {
    std::optional<held_thread> held;
    while (!(held = here.held(number))) std::this_thread::yield();
    return *held;
  }

  std::atomic<int> caught = 0;
  holding here{[this] { ++caught; }};
  tracer trace{0, {}};
};

}  // namespace

TEST_CASE("a thread is held where the rule says, and goes on when it is released") {
  stage s;
  std::atomic<int> done = 0;
  const unsigned number =
      s.here.hold({.thread = "worker 1", .what = kind::call, .sfd = 7, .text = "read() = -1", .count = 2});
  const auto other = s.play("worker 2", [&] { s.trace.call(7, "read", -1); });
  const auto thread = s.play("worker 1", [&] {
    s.trace.woken(7, 2);          // another kind
    s.trace.call(8, "read", -1);  // another connection
    s.trace.call(7, "read", 5);   // another text
    s.trace.call(7, "read", -1);  // the first
    ++done;
    errno = EAGAIN;
    s.trace.call(7, "read", -1);
    CHECK(errno == EAGAIN);
    ++done;
  });
  const held_thread held = s.await(number);
  CHECK(held.thread == "worker 1");
  CHECK(held.what == kind::call);
  CHECK(held.sfd == 7);
  CHECK(held.number == -1);
  CHECK(held.line == "7: read() = -1, EAGAIN");
  CHECK(s.caught == 1);
  CHECK(done == 1);
  CHECK(s.here.where() == std::vector<std::string>{"1: worker 1 is held at call: 7: read() = -1, EAGAIN"});
  CHECK(s.here.release(number));
  while (done != 2) std::this_thread::yield();
  CHECK(s.here.where().empty());
  CHECK_FALSE(s.here.release(number));
}

TEST_CASE("a rule catches one thread, the eldest that fits first; a thread without a name is called main") {
  stage s;
  const unsigned first = s.here.hold({.thread = "main"});
  const unsigned second = s.here.hold({.what = kind::opened});
  CHECK(s.here.where() ==
        std::vector<std::string>{"1: waits for main at any event", "2: waits for any thread at opened"});
  const auto one = s.play("", [&] { s.trace.opened(9); });
  CHECK(s.await(first).line == "<9 new client connection");
  CHECK_FALSE(s.here.held(second));
  const auto another = s.play("", [&] { s.trace.opened(10); });
  CHECK(s.await(second).sfd == 10);
  const auto third = s.play("", [&] { s.trace.opened(11); });  // nobody is left to hold it: its end is waited for
  s.here.release_all();
}

TEST_CASE("step by step") {
  stage s;
  const unsigned number = s.here.hold({.what = kind::pushed});
  CHECK_FALSE(s.here.step(number));
  const auto thread = s.play("master", [&] {
    s.trace.pushed(9, 1);
    s.trace.byte_written(12, 'c');
    (void)s.trace.timer("clock");
  });
  CHECK(s.await(number).what == kind::pushed);
  CHECK(s.here.step(number));
  CHECK(s.await(number).what == kind::byte_written);
  CHECK(s.here.step(number));
  CHECK(s.await(number).line == "timer: clock");
  CHECK(s.here.release(number));
}

TEST_CASE("while a thread is held the clock stands still, and then goes on from there") {
  stage s;
  const auto real_start = std::chrono::steady_clock::now();
  const auto start = stoppable_clock::now();
  const unsigned number = s.here.hold({.what = kind::opened});
  const unsigned another = s.here.hold({.what = kind::closed});
  const auto one = s.play("worker 1", [&] { s.trace.opened(9); });
  s.await(number);
  const auto still = stoppable_clock::now();
  CHECK(still >= start);
  const auto two = s.play("worker 2", [&] { s.trace.closed(9); });
  s.await(another);
  while (std::chrono::steady_clock::now() < real_start + std::chrono::milliseconds(20)) std::this_thread::yield();
  CHECK(stoppable_clock::now() == still);
  CHECK(s.here.release(number));
  CHECK(stoppable_clock::now() == still);  // the other one is still held
  CHECK(s.here.release(another));
  while (stoppable_clock::now() == still) std::this_thread::yield();
  CHECK(stoppable_clock::now() - start <= std::chrono::steady_clock::now() - real_start);
}

TEST_CASE("a timer does nothing while a thread is held, unless it was held itself, and released") {
  stage s;
  CHECK(s.trace.timer("maxconns"));
  const unsigned number = s.here.hold({.what = kind::given_back});
  CHECK(s.trace.timer("maxconns"));  // nobody is held yet
  const auto worker = s.play("worker 1", [&] { s.trace.given_back(9); });
  s.await(number);
  CHECK_FALSE(s.trace.timer("maxconns"));

  const unsigned look = s.here.hold({.thread = "master", .what = kind::timer, .text = "maxconns"});
  std::atomic<int> runs = -1;
  const auto master = s.play("master", [&] {
    CHECK_FALSE(s.trace.timer("clock"));
    runs = s.trace.timer("maxconns");
  });
  s.await(look);
  CHECK(runs == -1);
  CHECK(s.here.release(look));
  while (runs == -1) std::this_thread::yield();
  CHECK(runs == 1);
  CHECK_FALSE(s.trace.timer("maxconns"));
  CHECK(s.here.release(number));
  CHECK(s.trace.timer("maxconns"));
}

TEST_CASE("once the server ends everybody goes on, and nobody is held any more") {
  stage s;
  const unsigned number = s.here.hold({.what = kind::opened});
  const auto thread = s.play("worker 1", [&] {
    s.trace.opened(9);
    s.trace.opened(10);
  });
  s.await(number);
  s.trace.let_go();
  CHECK(s.here.where().empty());
  s.here.hold({.what = kind::opened});
  s.trace.opened(11);  // returns
}
