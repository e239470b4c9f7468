// What is under test: a program, how to start it, and what it claims to be able to do.
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace contract {

struct target {
  std::string program;
  std::vector<std::string> args;       // put before the flags of a test
  std::set<std::string> capabilities;  // a test suite bears the name of the capability that it needs
  bool udp = false;                    // the program takes -U, and would listen there unless told not to
  bool sanitized = false;              // its memory is not a release build's: bounds on it are four times as wide
  std::chrono::milliseconds deadline{5'000};  // the longest that an answer may take
  unsigned connects = 1'000;                  // how often the tests of connecting and closing do so

  [[nodiscard]] bool can(std::string_view capability) const { return capabilities.contains(std::string{capability}); }
  // The last part of the program's path: a chapter's directory.
  [[nodiscard]] std::string_view name() const {
    return std::string_view{program}.substr(program.find_last_of('/') + 1);
  }
};

// The one object of the process that tests share: doctest calls them without arguments. Set by main before the first
// test.
target& under_test();

}  // namespace contract
