// common/trace/trace_file.h: what is heard is in the file, in order, and what is lost is said.
#include "common/trace/trace_file.h"

#include <dirent.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/support.h"

namespace {

using kind = trace_event::kind;

[[nodiscard]] bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

[[nodiscard]] std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// Waits for the file to hold it.
[[nodiscard]] bool appears(const std::string& path, const std::string& part) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    if (contains(unit::contents(path), part)) return true;
    std::this_thread::yield();
  }
  return false;
}

}  // namespace

TEST_CASE("an array: open while it is written, whole at the end") {
  const unit::temporary_directory home;
  const std::string path = home / "trace.json";
  {
    trace_file file(path);
    CHECK(unit::contents(path).starts_with("[\n{\"ph\":\"M\""));
    file.hear({.what = kind::problem, .sfd = -1, .text = "first"});
    CHECK(appears(path, "\"first\""));
    CHECK(unit::contents(path).ends_with("},\n"));
    file.hear({.what = kind::problem, .sfd = -1, .text = std::string(1000, 'x')});
  }
  const std::string text = unit::contents(path);
  CHECK(contains(text, "xxx...\""));
  CHECK(contains(text, "\"the end: 2 events, 0 lost\""));
  CHECK(text.ends_with("}\n]\n"));
}

TEST_CASE("events of several threads stand in the order in which they were heard") {
  const unit::temporary_directory home;
  const std::string path = home / "trace.json";
  constexpr int threads = 4, turns = 500;
  {
    trace_file file(path);
    std::atomic<int> turn = 0;
    std::vector<std::jthread> all;
    for (int i = 0; i < threads; ++i) {
      all.emplace_back([&, i] {
        tracer::name_this_thread("worker " + std::to_string(i));
        for (int mine = i; mine < turns; mine += threads) {
          while (turn != mine) std::this_thread::yield();
          file.hear({.what = kind::pushed, .sfd = mine, .number = 1});
          ++turn;
        }
      });
    }
  }
  const std::string text = unit::contents(path);
  std::size_t at = 0;
  for (int i = 0; i < turns; ++i) {
    const auto found = text.find("\"" + std::to_string(i) + ": pushed", at);
    REQUIRE(found != text.npos);
    at = found;
  }
  CHECK(contains(text, "\"worker 3\""));
}

TEST_CASE("a flood is lost in part, and the file says how much of it") {
  const unit::temporary_directory home;
  const std::string path = home / "trace.json";
  constexpr std::size_t all = 400'000;
  {
    trace_file file(path);
    for (std::size_t i = 0; i < all; ++i) file.hear({.what = kind::call, .sfd = 9, .text = "read", .number = 1});
    file.hear({.what = kind::opened, .sfd = 10});  // rare events find room
  }
  const std::string text = unit::contents(path);
  const std::size_t drawn = count(text, "9: read() = 1\"");
  CHECK(drawn < all);
  CHECK(contains(text, "<10 new client connection"));
  CHECK(contains(text, " events lost: too many for this file"));
  CHECK(contains(text,
                 "\"the end: " + std::to_string(drawn + 1) + " events, " + std::to_string(all - drawn) + " lost\""));
}

TEST_CASE("a file for each tracer: threads go from one to the next") {
  const unit::temporary_directory home;
  for (const std::string name : {"a", "b", "c"}) {
    const std::string path = home / name;
    {
      tracer t(0, {.file = path});
      t.opened(5);
    }
    CHECK(contains(unit::contents(path), "\"the end: 1 events, 0 lost\""));
  }
}

TEST_CASE("a path that cannot be written is said before anything else") {
  const auto refusal = [](const std::string& path) {
    return unit::thrown_text<std::system_error>([&] { trace_file file(path); });
  };
  CHECK(refusal("/nonexistent/x") == "write the trace /nonexistent/x: No such file or directory");
  CHECK(refusal("/dev/full") == "write the trace /dev/full: No space left on device");
}

TEST_CASE("a disk that fills up is said once; the file ends with a whole event, and hearing goes on") {
  const unit::temporary_directory home;
  const std::string path = home / "trace.json";
  const unit::child_result result = unit::in_child([&path] {
    const rlimit little{10'000, 10'000};
    setrlimit(RLIMIT_FSIZE, &little);
    trace_file file(path);
    for (int i = 0; i < 5000; ++i) file.hear({.what = kind::call, .sfd = 9, .text = "read", .number = i});
    return std::string("went on");
  });
  CHECK(result.answer == "went on");
  CHECK(contains(result.streams, ": --trace " + path + ": File too large; nothing more is written\n"));
  CHECK(count(result.streams, "\n") == 1);
  CHECK(unit::contents(path).ends_with("},\n"));
}

TEST_CASE("its thread hears no signals, whatever its maker hears") {
  const unit::temporary_directory home;
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  const trace_file file(home / "trace.json");
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  CHECK(sigismember(&before, SIGTERM) == sigismember(&after, SIGTERM));

  int others = 0;
  DIR* const tasks = opendir("/proc/self/task");
  REQUIRE(tasks != nullptr);
  while (const dirent* const task = readdir(tasks)) {
    if (task->d_name[0] == '.' || std::stoi(task->d_name) == getpid()) continue;
    ++others;
    const std::string status = unit::contents(std::string("/proc/self/task/") + task->d_name + "/status");
    const unsigned long long blocked = std::stoull(status.substr(status.find("SigBlk:") + 8, 16), nullptr, 16);
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD, SIGXFSZ}) {
      CHECK((blocked >> (number - 1) & 1) == 1);
    }
  }
  closedir(tasks);
  CHECK(others >= 1);
}
