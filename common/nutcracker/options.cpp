// The proxy's command line. One table; parsing and --help both read it.
#include "common/nutcracker/options.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <vector>

namespace nutcracker {
namespace {

constexpr std::string_view version = "0.5.0";  // of the nutcracker whose behaviour is followed

// --- Values ---------------------------------------------------------------------------------------------------------
// What is thrown here does not name the option: parse_options puts it in front.

[[nodiscard]] unsigned between(unsigned low, unsigned high, std::string_view value, const std::string& what) {
  unsigned n = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, n);
  if (error != std::errc{} || stop != end || n < low || n > high) {
    throw usage_error(std::string(value) + " is not " + what + " (" + std::to_string(low) + " to " +
                      std::to_string(high) + ")");
  }
  return n;
}

[[nodiscard]] std::string not_empty(std::string_view value) {
  if (value.empty()) throw usage_error("its value is empty");
  return std::string(value);
}

constexpr unsigned highest_level = log_level_names.size() - 1;
constexpr unsigned longest_interval = std::numeric_limits<int>::max();

// --- The table ------------------------------------------------------------------------------------------------------

struct option_row {
  char letter;
  const char* name;
  std::string_view argument;  // "": it takes none
  std::string_view text;
  void (*set)(options& o, std::string_view value);  // none: parse_options answers itself
};

// In the order of --help.
constexpr option_row rows[] = {
    {'c', "conf-file", "PATH", "the pools to serve (default: conf/nutcracker.yml)",
     [](options& o, std::string_view v) { o.conf_file = not_empty(v); }},
    {'t', "test-conf", "", "read that file, say whether it is good, and exit",
     [](options& o, std::string_view) { o.test_conf = true; }},
    {'s', "stats-port", "NUM", "TCP port for statistics, 0 for one of the kernel's choice (default: 22222)",
     [](options& o, std::string_view v) { o.stats_port = static_cast<std::uint16_t>(between(0, 65535, v, "a port")); }},
    {'a', "stats-addr", "ADDR", "interface for statistics (default: 0.0.0.0)",
     [](options& o, std::string_view v) { o.stats_addr = not_empty(v); }},
    {'i', "stats-interval", "MS", "milliseconds between two sums of the statistics (default: 30000)",
     [](options& o, std::string_view v) {
       o.stats_interval = std::chrono::milliseconds(between(1, longest_interval, v, "a number of milliseconds"));
     }},
    {'D', "describe-stats", "", "say what the statistics mean, and exit",
     [](options& o, std::string_view) { o.describe_stats = true; }},
    {'m', "mbuf-size", "BYTES", "size of a buffer, 512 to 16777216 (default: 16384)",
     [](options& o, std::string_view v) { o.mbuf_size = between(512, 16'777'216, v, "a number of bytes"); }},
    {'v', "verbose", "LEVEL", "how much to log, from 0 (emergencies) to 11 (default: 5, what matters to an operator)",
     [](options& o, std::string_view v) {
       o.verbosity = static_cast<log_level>(between(0, highest_level, v, "a log level"));
     }},
    {'o', "output", "PATH", "log into this file (default: stderr)",
     [](options& o, std::string_view v) { o.output = v; }},
    {'d', "daemonize", "", "run as a daemon", [](options& o, std::string_view) { o.daemonize = true; }},
    {'p', "pid-file", "PATH", "write the process's number into this file",
     [](options& o, std::string_view v) { o.pid_file = v; }},
    {'h', "help", "", "print this and exit", nullptr},
    {'V', "version", "", "print the version and exit", nullptr},
};

[[nodiscard]] const option_row* find_option(int letter) {
  const auto* const row = std::ranges::find(rows, letter, &option_row::letter);
  return row == std::end(rows) ? nullptr : row;
}

// --- Parsing --------------------------------------------------------------------------------------------------------

// What getopt_long wants to know. The leading colon makes it tell a missing value from an unknown letter.
struct getopt_tables {
  std::string letters = ":";
  std::vector<option> names;

  getopt_tables() {
    for (const option_row& row : rows) {
      letters += row.letter;
      if (!row.argument.empty()) letters += ':';
      names.push_back({row.name, row.argument.empty() ? no_argument : required_argument, nullptr, row.letter});
    }
    names.push_back({});
  }
};

[[noreturn]] void refuse_option(int code, char** argv) {
  const std::string letter = {'-', static_cast<char>(optopt)};
  if (code == ':') throw usage_error(letter + ": needs a value");
  if (find_option(optopt) != nullptr) throw usage_error(letter + ": takes no value");
  const std::string what = optopt == 0 ? argv[optind - 1] : letter;
  throw usage_error(what + ": unknown option; --help lists those there are");
}

[[noreturn]] void print_and_exit(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::exit(std::fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace

options parse_options(int argc, char** argv, const program_name& program) {
  const getopt_tables tables;
  options o;

  opterr = 0;
  optind = 0;  // 0, not 1: glibc forgets where an earlier parse stopped
  for (int code; (code = getopt_long(argc, argv, tables.letters.c_str(), tables.names.data(), nullptr)) != -1;) {
    if (code == ':' || code == '?') refuse_option(code, argv);
    if (code == 'h') print_and_exit(help_text(program));
    if (code == 'V') print_and_exit(std::string(program.name) + " " + std::string(version) + "\n");
    try {
      find_option(code)->set(o, optarg == nullptr ? "" : optarg);
    } catch (const usage_error& e) {
      throw usage_error(std::string{'-', static_cast<char>(code)} + ": " + e.what());
    }
  }
  if (optind < argc) throw usage_error(std::string(argv[optind]) + ": left over; every argument belongs to an option");
  return o;
}

std::string help_text(const program_name& program) {
  const std::string name(program.name);
  std::string text = name + ": " + std::string(program.idea) + "\n\nusage: " + name + " [options]\n\n";
  for (const option_row& row : rows) {
    constexpr std::size_t column = 29;
    std::string left = std::string("  -") + row.letter + ", --" + row.name;
    if (!row.argument.empty()) left += "=" + std::string(row.argument);
    left.resize(std::max(column, left.size() + 2), ' ');
    text += left + std::string(row.text) + "\n";
  }
  text += "\nSIGTTIN and SIGTTOU log more and less, SIGHUP opens the log file again.\n";
  text += "\nexample:\n  " + name + " -c nutcracker.yml -t && " + name + " -c nutcracker.yml -v 6\n";
  return text;
}

}  // namespace nutcracker
