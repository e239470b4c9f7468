// common/trace/tracer.h: what stderr says at each verbosity, to the letter, and that sinks hear everything.
#include "common/trace/tracer.h"

#include <doctest/doctest.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/net/unique_fd.h"

using net::unique_fd;

namespace {

// What `work` writes to stderr, one entry a write(2): a seqpacket socket keeps them apart.
[[nodiscard]] std::vector<std::string> writes(const std::function<void()>& work) {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  const unique_fd reader(ends[0]);
  unique_fd writer(ends[1]);
  const unique_fd real(dup(STDERR_FILENO));
  REQUIRE(dup2(writer.get(), STDERR_FILENO) == STDERR_FILENO);
  work();
  dup2(real.get(), STDERR_FILENO);
  writer.reset();

  std::vector<std::string> all;
  char buffer[8192];
  for (ssize_t n; (n = recv(reader.get(), buffer, sizeof buffer, 0)) > 0;) {
    all.emplace_back(buffer, static_cast<std::size_t>(n));
  }
  return all;
}

enum class states { reading, writing };

std::string_view state_text(states s) { return s == states::reading ? "reading" : "writing"; }

// A short life of a server and one client.
void live(tracer& t) {
  t.listening(26);
  t.asleep(26, EV_READ | EV_PERSIST);
  t.woken(26, EV_READ);
  t.call(26, "accept4", 30);
  t.opened(30);
  t.dispatched(30, 2);
  t.pushed(30, 1);
  t.byte_written(12, 'c');
  t.byte_read(11, 'c');
  t.popped(30, 0);
  t.asleep(30, EV_READ | EV_PERSIST, states::reading);
  t.call(30, "read", 9);
  t.command(30, "get foo");
  t.item(30, "foo");
  t.reply(30, "STORED");
  t.state(30, states::reading, states::writing);
  t.call(30, "sendmsg", 8);
  errno = EAGAIN;
  t.call(30, "read", -1);
  t.asleep(30, EV_READ | EV_TIMEOUT);
  t.problem(-1, "accept()", EMFILE);
  t.muted(26);
  t.asleep(26, 0);
  (void)t.timer("maxconns");
  t.heard_again(26);
  t.call(30, "read", 0);
  t.problem(30, "out of memory");
  t.closed(30);
  t.given_back(30);
  t.registered(11);
}

// Thread: one; the vector outlives it.
class recorder : public trace_sink {
 public:
  explicit recorder(std::vector<std::string>& heard) : heard_(heard) {}
  void hear(const trace_event& e) noexcept override {
    heard_.push_back(std::to_string(static_cast<int>(e.what)) + "|" + std::to_string(e.sfd) + "|" +
                     std::string(e.text) + "|" + std::string(e.more) + "|" + std::to_string(e.number) + "|" +
                     std::to_string(e.error));
  }

 private:
  std::vector<std::string>& heard_;
};

}  // namespace

TEST_CASE("nothing at verbosity 0") {
  tracer t(0, {});
  CHECK(writes([&t] { live(t); }).empty());
}

TEST_CASE("-v: problems") {
  tracer t(1, {});
  CHECK(writes([&t] { live(t); }) == std::vector<std::string>{"accept(): Too many open files\n", "out of memory\n"});
}

TEST_CASE("-vv: connections, commands and replies, in memcached's words") {
  tracer t(2, {});
  CHECK(writes([&t] { live(t); }) == std::vector<std::string>{"<26 server listening\n", "<30 new client connection\n",
                                                              "<30 get foo\n", ">30 sending key foo\n", ">30 STORED\n",
                                                              "accept(): Too many open files\n", "out of memory\n",
                                                              "<30 connection closed.\n"});
}

TEST_CASE("-vvv: who wakes, what the kernel says, who sleeps") {
  tracer t(3, {});
  CHECK(writes([&t] { live(t); }) == std::vector<std::string>{"<26 server listening\n",
                                                              "26: asleep, waiting for EV_READ\n",
                                                              "26: woken by EV_READ\n",
                                                              "26: accept4() = 30\n",
                                                              "<30 new client connection\n",
                                                              "30: for worker 2\n",
                                                              "30: pushed, 1 in the queue\n",
                                                              "12: wrote the byte c\n",
                                                              "11: read the byte c\n",
                                                              "30: popped, 0 left in the queue\n",
                                                              "30: asleep, waiting for EV_READ\n",
                                                              "30: read() = 9\n",
                                                              "<30 get foo\n",
                                                              ">30 sending key foo\n",
                                                              ">30 STORED\n",
                                                              "30: going from reading to writing\n",
                                                              "30: sendmsg() = 8\n",
                                                              "30: read() = -1, EAGAIN\n",
                                                              "30: asleep, waiting for EV_READ | EV_TIMEOUT\n",
                                                              "accept(): Too many open files\n",
                                                              "26: muted\n",
                                                              "26: asleep, waiting for nothing\n",
                                                              "26: heard again\n",
                                                              "30: read() = 0, the end\n",
                                                              "out of memory\n",
                                                              "<30 connection closed.\n",
                                                              "30: descriptor given back\n",
                                                              "11: registered\n"});
}

TEST_CASE("a proxy's request, from the client to a server and back") {
  tracer t(3, {});
  const auto lines = writes([&t] {
    t.request(9, 5);
    t.fragment(6, 5);
    t.connecting(10, "alpha");
    t.connected(10, "alpha");
    t.forwarded(10, 6);
    t.response(10, 6);
    t.answered(9, 5);
    t.timed_out(10, "alpha");
    t.ejected("alpha");
    t.returned("pool");
    t.asleep(4, trace_read | trace_timeout);
  });
  CHECK(lines == std::vector<std::string>{
                     "9: request 5\n",
                     "request 6, a part of 5\n",
                     "<10 connecting to alpha\n",
                     "<10 connected to alpha\n",
                     "10: request 6 waits to be sent\n",
                     "10: the response to request 6\n",
                     "9: request 5 is answered\n",
                     "<10 alpha takes too long\n",
                     "alpha is ejected\n",
                     "pool takes ejected servers back\n",
                     "4: asleep, waiting for EV_READ | EV_TIMEOUT\n",
                 });
}

TEST_CASE("a thread with a name says it") {
  tracer t(2, {});
  const auto lines = writes([&t] {
    std::jthread([&t] {
      tracer::name_this_thread("worker 1");
      t.opened(30);
      tracer::name_this_thread("a name that is far too long");
      t.opened(31);
    }).join();
    t.opened(32);
  });
  CHECK(lines == std::vector<std::string>{"[worker 1] <30 new client connection\n",
                                          "[a name that is ] <31 new client connection\n",
                                          "<32 new client connection\n"});
}

TEST_CASE("whoever asks for errno finds it as it was") {
  tracer t(3, {});
  std::vector<std::string> heard;
  t.add(std::make_unique<recorder>(heard));
  errno = EMFILE;
  CHECK(writes([&t] { t.call(26, "accept4", -1); }).size() == 1);
  CHECK(errno == EMFILE);
  CHECK(heard == std::vector<std::string>{"8|26|accept4||-1|24"});
}

TEST_CASE("a stderr that nobody reads holds nobody up: lines are lost, and counted") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const unique_fd reader(ends[0]);
  unique_fd writer(ends[1]);
  const unique_fd real(dup(STDERR_FILENO));
  REQUIRE(dup2(writer.get(), STDERR_FILENO) == STDERR_FILENO);
  writer.reset();
  tracer t(2, {});
  const std::string word(1000, 'x');
  for (int i = 0; i < 100; ++i) t.reply(9, word);  // 100 kB into a pipe of 64
  std::string first(1 << 20, '\0');
  first.resize(static_cast<std::size_t>(std::max<ssize_t>(0, read(reader.get(), first.data(), first.size()))));
  t.reply(9, "short");
  std::string then(4096, '\0');
  then.resize(static_cast<std::size_t>(std::max<ssize_t>(0, read(reader.get(), then.data(), then.size()))));
  dup2(real.get(), STDERR_FILENO);

  const std::string line = ">9 " + word + "\n";
  const auto kept = first.size() / line.size();
  CHECK(first.size() == kept * line.size());  // whole lines
  CHECK(kept > 50);
  CHECK(kept < 100);
  CHECK(then == "(" + std::to_string(100 - kept) + " lines are lost: nobody was reading)\n>9 short\n");
}

TEST_CASE("the verbosity can change, and be as large as a client likes") {
  tracer t(0, {});
  t.set_verbosity(2);
  CHECK(t.verbosity() == 2);
  CHECK(writes([&t] { live(t); }).size() == 8);
  t.set_verbosity(0);
  CHECK(t.verbosity() == 0);
  CHECK(writes([&t] { live(t); }).empty());
  for (const unsigned huge : {1u << 31, ~0u}) {
    t.set_verbosity(huge);
    CHECK(t.verbosity() > 1'000'000);
    CHECK(writes([&t] { live(t); }).size() == 28);
  }
}

TEST_CASE("sinks hear everything at any verbosity") {
  const std::size_t printed[] = {0, 2, 8, 28};
  for (const unsigned verbosity : {0u, 1u, 2u, 3u}) {
    std::vector<std::string> first, second;
    tracer t(verbosity, {});
    t.add(std::make_unique<recorder>(first));
    t.add(std::make_unique<recorder>(second));
    CHECK(t.verbosity() == verbosity);
    const auto lines = writes([&t] { live(t); });
    CHECK(lines.size() == printed[verbosity]);
    CHECK(first.size() == 29);  // the timer, too
    CHECK(first[0] == "0|26|||0|0");
    CHECK(first[10] == "7|30|reading||18|0");
    CHECK(first[15] == "9|30|reading|writing|0|0");
    CHECK(first[17] == "8|30|read||-1|11");
    CHECK(first[19] == "20|-1|accept()||0|24");
    CHECK(second == first);
    t.set_verbosity(0);
    CHECK(writes([&t] { live(t); }).empty());
    CHECK(first.size() == 58);
  }
}

TEST_CASE("what clients send cannot play with the terminal") {
  tracer t(2, {});
  using namespace std::string_view_literals;
  CHECK(writes([&t] { t.command(9, "get \x1b[2J\r\n\0\x7f\x80\xff~ "sv); }) ==
        std::vector<std::string>{"<9 get \\x1b[2J\\x0d\\x0a\\x00\\x7f\\x80\\xff~ \n"});
}

TEST_CASE("a line is at most 1 KiB") {
  tracer t(2, {});
  const std::string longest(1024 - 4 - 3, 'x');  // "<9 " before, room for "...\n" behind
  CHECK(writes([&] { t.command(9, longest); }) == std::vector<std::string>{"<9 " + longest + "\n"});
  const auto cut = writes([&] { t.command(9, longest + "y"); });
  REQUIRE(cut.size() == 1);
  CHECK(cut[0] == "<9 " + longest + "...\n");
  CHECK(cut[0].size() == 1024);
  // An escape is cut whole or not at all.
  CHECK(writes([&] { t.command(9, longest.substr(3) + "\r" + "yy"); }) ==
        std::vector<std::string>{"<9 " + longest.substr(3) + "...\n"});
}

TEST_CASE("threads may speak at once: whole lines, all of them") {
  tracer t(2, {});
  const auto lines = writes([&t] {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&t, i] {
        for (int j = 0; j < 10; ++j) t.command(i, "get foo");
      });
    }
  });
  CHECK(lines.size() == 40);
  for (const std::string& line : lines) CHECK(line.substr(2) == " get foo\n");
}
