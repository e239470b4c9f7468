// common/nutcracker/log.h: the form of a line, the levels, and a file that changes while it is written to.
#include "common/nutcracker/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <limits>
#include <map>
#include <sstream>
#include <thread>

#include "tests/unit/support.h"

using nutcracker::log_level;
using nutcracker::logger;

namespace {

constexpr std::size_t date_size = std::string_view("[2014-07-01 12:34:56.789] ").size();

// The lines of a log without their dates.
[[nodiscard]] std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::istringstream file(unit::contents(path));
  for (std::string line; std::getline(file, line);) {
    REQUIRE(line.size() >= date_size);
    lines.push_back(line.substr(date_size));
  }
  return lines;
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("a line of several pieces") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  logger log(log_level::notice, path);
  const std::string_view name("one, two", 3);
  log.line(log_level::notice, "server '", name, "' ", 7, std::string(" of "), std::numeric_limits<std::int64_t>::min());
  log.line(log_level::notice, std::numeric_limits<std::uint64_t>::max());
  CHECK(lines_of(path) == strings{"notice: server 'one' 7 of -9223372036854775808", "notice: 18446744073709551615"});
}

TEST_CASE("a line: date, level, text") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  const std::time_t before = std::time(nullptr);
  {
    logger log(log_level::notice, path);
    log.line(log_level::warn, "a server is gone");
  }
  const std::time_t after = std::time(nullptr);
  const std::string line = unit::contents(path);
  CHECK(line.substr(date_size) == "warn: a server is gone\n");

  std::tm date{};
  const char* const rest = strptime(line.c_str(), "[%Y-%m-%d %H:%M:%S.", &date);
  REQUIRE(rest != nullptr);
  date.tm_isdst = -1;
  const std::time_t written = std::mktime(&date);
  CHECK(written >= before);
  CHECK(written <= after);
  CHECK(std::all_of(rest, rest + 3, [](char c) { return c >= '0' && c <= '9'; }));
  CHECK(std::string_view(rest + 3, 2) == "] ");
}

TEST_CASE("what is above the level is not said") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  logger log(log_level::notice, path);
  CHECK(log.loggable(log_level::emerg));
  CHECK(log.loggable(log_level::notice));
  CHECK(!log.loggable(log_level::info));
  log.line(log_level::emerg, "one");
  log.line(log_level::notice, "two");
  log.line(log_level::info, "three");
  CHECK(lines_of(path) == strings{"emerg: one", "notice: two"});
}

TEST_CASE("louder and quieter, from one end to the other") {
  const unit::temporary_directory directory;
  logger log(log_level::emerg, directory / "log");
  CHECK(log.quieter() == log_level::emerg);
  for (int level = 1; level <= 11; ++level) {
    CHECK(log.louder() == static_cast<log_level>(level));
    CHECK(log.level() == static_cast<log_level>(level));
  }
  CHECK(log.louder() == log_level::pverb);
  CHECK(log.loggable(log_level::pverb));
  CHECK(log.quieter() == log_level::vvverb);
  CHECK(!log.loggable(log_level::pverb));
}

TEST_CASE("every level has its name") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  logger log(log_level::pverb, path);
  for (int level = 0; level <= 11; ++level) log.line(static_cast<log_level>(level), "");
  CHECK(lines_of(path) == strings{"emerg: ", "alert: ", "crit: ", "error: ", "warn: ", "notice: ", "info: ", "debug: ",
                                  "verb: ", "vverb: ", "vvverb: ", "pverb: "});
}

TEST_CASE("whatever the text holds, it is one printable line of at most 1 KiB") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  logger log(log_level::notice, path);
  log.line(log_level::notice, std::string_view("a\r\nb\0\x1b[2J\xff\x7f", 11));
  CHECK(lines_of(path) == strings{"notice: a\\x0d\\x0ab\\x00\\x1b[2J\\xff\\x7f"});

  for (const char c : {'x', '\n'}) {
    std::filesystem::remove(path);
    CHECK(!log.reopen());
    log.line(log_level::notice, std::string(5000, c));
    const std::string long_line = unit::contents(path);
    CHECK(long_line.size() <= 1024);
    CHECK(long_line.size() >= 1020);
    CHECK(long_line.ends_with("...\n"));
    CHECK(std::ranges::count(long_line, '\n') == 1);
  }
}

TEST_CASE("no path: stderr, and nothing to open again") {
  const unit::child_result child = unit::in_child([] {
    logger log(log_level::notice, "");
    log.line(log_level::crit, "one");
    const bool fine = !log.reopen();
    log.line(log_level::crit, "two");
    return std::string(fine ? "fine" : "failed");
  });
  CHECK(child.answer == "fine");
  CHECK(std::ranges::count(child.streams, '\n') == 2);
  CHECK(child.streams.find("crit: one\n") != std::string::npos);
  CHECK(child.streams.ends_with("crit: two\n"));
}

TEST_CASE("a file that is there is added to; one that cannot be opened is an error") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  logger(log_level::notice, path).line(log_level::notice, "first run");
  logger(log_level::notice, path).line(log_level::notice, "second run");
  CHECK(lines_of(path) == strings{"notice: first run", "notice: second run"});
  CHECK(unit::thrown_text<std::system_error>([&] { logger log(log_level::notice, directory / "no/log"); }) ==
        "open the log file " + directory.path() + "/no/log: No such file or directory");
}

TEST_CASE("reopen: the old file is left alone, a new one takes the lines") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  logger log(log_level::notice, path);
  log.line(log_level::notice, "before");
  std::filesystem::rename(path, path + ".1");
  log.line(log_level::notice, "between");
  CHECK(!log.reopen());
  log.line(log_level::notice, "after");
  CHECK(lines_of(path + ".1") == strings{"notice: before", "notice: between"});
  CHECK(lines_of(path) == strings{"notice: after"});
}

TEST_CASE("reopen holds on to the old file where there can be no new one") {
  const unit::temporary_directory directory;
  std::filesystem::create_directory(directory / "logs");
  logger log(log_level::notice, directory / "logs/log");
  std::filesystem::rename(directory / "logs", directory / "moved");
  CHECK(log.reopen() == std::errc::no_such_file_or_directory);
  log.line(log_level::notice, "still here");
  CHECK(lines_of(directory / "moved/log") == strings{"notice: still here"});
}

TEST_CASE("reopen leaks no descriptor, and no child inherits the log") {
  const unit::temporary_directory directory;
  logger log(log_level::notice, directory / "log");
  // Which descriptors are the log's, and whether a child would have them too.
  const auto logs = [&directory] {
    std::map<int, bool> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry, gone) != directory / "log") continue;
      const int fd = std::stoi(entry.path().filename());
      found[fd] = (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
    }
    return found;
  };
  const auto before = logs();
  REQUIRE(before.size() == 1);
  CHECK(!before.begin()->second);
  for (int i = 0; i < 3; ++i) CHECK(!log.reopen());
  CHECK(logs() == before);
}

TEST_CASE("lines of several threads stay whole while the file changes under them") {
  const unit::temporary_directory directory;
  const std::string path = directory / "log";
  constexpr int threads = 4, each = 500, rotations = 20;
  {
    logger log(log_level::notice, path);
    std::vector<std::jthread> writers;
    for (int t = 0; t < threads; ++t) {
      writers.emplace_back([&log, t] {
        for (int i = 0; i < each; ++i) log.line(log_level::notice, std::string(200, static_cast<char>('a' + t)));
      });
    }
    for (int i = 0; i < rotations; ++i) {
      std::filesystem::rename(path, path + std::to_string(i));
      CHECK(!log.reopen());
    }
  }
  std::size_t all = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory.path())) {
    for (const std::string& line : lines_of(file.path())) {
      ++all;
      REQUIRE(line == "notice: " + std::string(200, line.back()));
    }
  }
  CHECK(all == threads * each);
}

TEST_CASE("errno survives a line that cannot be written") {
  const unit::child_result child = unit::in_child([] {
    std::signal(SIGXFSZ, SIG_IGN);
    const unit::temporary_directory directory;
    logger log(log_level::notice, directory / "log");
    const rlimit nothing{0, 0};
    setrlimit(RLIMIT_FSIZE, &nothing);
    errno = EAGAIN;
    log.line(log_level::notice, "lost");
    return std::string(errno == EAGAIN && unit::contents(directory / "log").empty() ? "kept" : "changed");
  });
  CHECK(child.answer == "kept");
}
