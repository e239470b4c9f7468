// The contract tests: black box over sockets, one table of cases a capability, run against every server that claims it.
//
//   contract --server=PATH [--arg=FLAG]... [--capabilities=a,b,c] [--udp] [--sanitized] [--deadline=SECONDS]
//            [--connects=N] [doctest's own options]
//
// Each test suite bears the name of the capability that it needs. So also a memcached can be put to the test:
//   contract --server=/usr/bin/memcached --arg=-u --arg=nobody --udp --capabilities=line,store,… -tce='*get without
//   end'
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "harness/target.h"

namespace {

using contract::target;
using contract::under_test;

// Keeps to the suites that the server can pass, and says by name which others there were.
class by_capability final : public doctest::IReporter {
 public:
  explicit by_capability(const doctest::ContextOptions&) {}

  void test_case_start(const doctest::TestCaseData& test) override { run_.insert(test.m_test_suite); }
  void test_case_skipped(const doctest::TestCaseData& test) override { skipped_.insert(test.m_test_suite); }

  void test_run_end(const doctest::TestRunStats&) override {
    std::set<std::string> lacking;
    std::set<std::string> without_table;
    for (const std::string& suite : skipped_) {
      if (!under_test().can(suite)) lacking.insert(suite);
    }
    for (const std::string& capability : under_test().capabilities) {
      if (!run_.contains(capability) && !skipped_.contains(capability)) without_table.insert(capability);
    }
    std::cout << "[contract] " << under_test().name() << " passed through:" << list(run_) << '\n';
    if (!lacking.empty())
      std::cout << "[contract] not run, as the server does not claim them:" << list(lacking) << '\n';
    if (!without_table.empty())
      std::cout << "[contract] claimed, but there is no table for:" << list(without_table) << '\n';
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}

 private:
  static std::string list(const std::set<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += ' ' + name;
    return text;
  }

  std::set<std::string> run_;
  std::set<std::string> skipped_;
};

REGISTER_LISTENER("by capability", 1, by_capability);

std::optional<std::string> value_of(std::string_view argument, std::string_view option) {
  if (!argument.starts_with(option)) return std::nullopt;
  return std::string{argument.substr(option.size())};
}

std::set<std::string> split(const std::string& list) {
  std::set<std::string> names;
  std::istringstream text{list};
  for (std::string name; std::getline(text, name, ',');) names.insert(name);
  return names;
}

// Takes the options that are ours, and returns the rest for doctest.
std::vector<const char*> parse(int argc, char** argv, target& t) {
  std::vector<const char*> rest;
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument{argv[i]};
    if (const auto program = value_of(argument, "--server=")) {
      t.program = *program;
    } else if (const auto flag = value_of(argument, "--arg=")) {
      t.args.push_back(*flag);
    } else if (const auto capabilities = value_of(argument, "--capabilities=")) {
      t.capabilities = split(*capabilities);
    } else if (const auto seconds = value_of(argument, "--deadline=")) {
      t.deadline = std::chrono::seconds{std::stoi(*seconds)};
    } else if (const auto connects = value_of(argument, "--connects=")) {
      t.connects = static_cast<unsigned>(std::stoul(*connects));
    } else if (argument == "--udp") {
      t.udp = true;
    } else if (argument == "--sanitized") {
      t.sanitized = true;
    } else {
      rest.push_back(argv[i]);
    }
  }
  return rest;
}

// Every suite there is, from doctest itself.
void leave_out_what_it_cannot(doctest::Context& context) {
  for (const doctest::detail::TestCase& test : doctest::detail::getRegisteredTests()) {
    if (!under_test().can(test.m_test_suite)) context.addFilter("test-suite-exclude", test.m_test_suite);
  }
}

}  // namespace

contract::target& contract::under_test() {
  static target the_one;
  return the_one;
}

int main(int argc, char** argv) {
  const std::vector<const char*> rest = parse(argc, argv, under_test());
  doctest::Context context{static_cast<int>(rest.size()), rest.data()};
  if (under_test().program.empty() && !context.shouldExit()) {
    std::cerr << "contract: --server=PATH says which program to test\n";
    return EXIT_FAILURE;
  }
  leave_out_what_it_cannot(context);
  // What a sanitizer has found once, it would report for every case that follows.
  if (under_test().sanitized) context.setOption("abort-after", 1);
  return context.run();
}
