// common/trace/tracer.h: what stderr says at each verbosity, to the letter, and that sinks hear everything.
#include "common/trace/tracer.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
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

// A short life of a server and one client.
void live(tracer& t) {
  t.listening(26);
  t.opened(30);
  t.state(30, "conn_read", "conn_write");
  t.bytes_in(30, 9);
  t.command(30, "get foo");
  t.item(30, "foo");
  t.reply(30, "STORED");
  t.bytes_out(30, 8);
  t.problem(-1, "accept()", EMFILE);
  t.problem(30, "out of memory");
  t.closed(30);
}

// Thread: one; the vector outlives it.
class recorder : public trace_sink {
 public:
  explicit recorder(std::vector<std::string>& heard) : heard_(heard) {}
  void hear(const trace_event& e) noexcept override {
    heard_.push_back(std::to_string(static_cast<int>(e.what)) + "|" + std::to_string(e.sfd) + "|" +
                     std::string(e.text) + "|" + std::string(e.more) + "|" + std::to_string(e.count));
  }

 private:
  std::vector<std::string>& heard_;
};

// What a recorder notes of live().
const std::vector<std::string> whole_life = {
    "0|26|||0",
    "1|30|||0",
    "3|30|conn_read|conn_write|0",
    "7|30|||9",
    "4|30|get foo||0",
    "6|30|foo||0",
    "5|30|STORED||0",
    "8|30|||8",
    "9|-1|accept()|Too many open files|24",
    "9|30|out of memory||0",
    "2|30|||0",
};

}  // namespace

TEST_CASE("nothing at verbosity 0") {
  tracer t(0);
  CHECK(writes([&t] { live(t); }).empty());
}

TEST_CASE("-v: problems") {
  tracer t(1);
  CHECK(writes([&t] { live(t); }) == std::vector<std::string>{"accept(): Too many open files\n", "out of memory\n"});
}

TEST_CASE("-vv: connections, commands and replies, in memcached's words") {
  tracer t(2);
  CHECK(writes([&t] { live(t); }) == std::vector<std::string>{"<26 server listening\n", "<30 new client connection\n",
                                                              "<30 get foo\n", ">30 sending key foo\n", ">30 STORED\n",
                                                              "accept(): Too many open files\n", "out of memory\n",
                                                              "<30 connection closed.\n"});
}

TEST_CASE("-vvv: states too") {
  tracer t(3);
  const auto lines = writes([&t] { live(t); });
  REQUIRE(lines.size() == 9);
  CHECK(lines[2] == "30: going from conn_read to conn_write\n");
}

TEST_CASE("the verbosity can change, and be as large as a client likes") {
  tracer t(0);
  t.set_verbosity(2);
  CHECK(t.verbosity() == 2);
  CHECK(writes([&t] { live(t); }).size() == 8);
  t.set_verbosity(0);
  CHECK(t.verbosity() == 0);
  CHECK(writes([&t] { live(t); }).empty());
  for (const unsigned huge : {1u << 31, ~0u}) {
    t.set_verbosity(huge);
    CHECK(t.verbosity() > 1'000'000);
    CHECK(writes([&t] { live(t); }).size() == 9);
  }
}

TEST_CASE("sinks hear everything at any verbosity") {
  const std::size_t printed[] = {0, 2, 8, 9};
  for (const unsigned verbosity : {0u, 1u, 2u, 3u}) {
    std::vector<std::string> first, second;
    tracer t(verbosity);
    t.add(std::make_unique<recorder>(first));
    t.add(std::make_unique<recorder>(second));
    CHECK(t.verbosity() == verbosity);
    const auto lines = writes([&t] { live(t); });
    CHECK(lines.size() == printed[verbosity]);
    CHECK(first == whole_life);
    CHECK(second == whole_life);
    t.set_verbosity(0);
    CHECK(writes([&t] { live(t); }).empty());
    CHECK(first.size() == 2 * whole_life.size());
  }
}

TEST_CASE("what clients send cannot play with the terminal") {
  tracer t(2);
  using namespace std::string_view_literals;
  CHECK(writes([&t] { t.command(9, "get \x1b[2J\r\n\0\x7f\x80\xff~ "sv); }) ==
        std::vector<std::string>{"<9 get \\x1b[2J\\x0d\\x0a\\x00\\x7f\\x80\\xff~ \n"});
}

TEST_CASE("a line is at most 1 KiB") {
  tracer t(2);
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
  tracer t(2);
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
