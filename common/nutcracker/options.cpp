// The proxy's command line. One table; parsing and --help both read it.
#include "common/nutcracker/options.h"

#include <limits>
#include <utility>

#include "common/settings/getopt.h"

namespace nutcracker {
namespace {

constexpr std::string_view version = "0.5.0";  // of the nutcracker whose behaviour is followed

constexpr auto highest_level = static_cast<unsigned>(log_level_names.size() - 1);
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
     [](options& o, std::string_view v) {
       o.stats_port = static_cast<std::uint16_t>(between(0u, 65535u, v, "a port"));
     }},
    {'a', "stats-addr", "ADDR", "interface for statistics (default: 0.0.0.0)",
     [](options& o, std::string_view v) { o.stats_addr = not_empty(v); }},
    {'i', "stats-interval", "MS", "milliseconds between two sums of the statistics (default: 30000)",
     [](options& o, std::string_view v) {
       o.stats_interval = std::chrono::milliseconds(between(1u, longest_interval, v, "a number of milliseconds"));
     }},
    {'D', "describe-stats", "", "say what the statistics mean, and exit",
     [](options& o, std::string_view) { o.describe_stats = true; }},
    {'m', "mbuf-size", "BYTES", "size of a buffer, 512 to 16777216 (default: 16384)",
     [](options& o, std::string_view v) { o.mbuf_size = between(512u, 16'777'216u, v, "a number of bytes"); }},
    {'v', "verbose", "LEVEL", "how much to log, from 0 (emergencies) to 11 (default: 5, what matters to an operator)",
     [](options& o, std::string_view v) {
       o.verbosity = static_cast<log_level>(between(0u, highest_level, v, "a log level"));
     }},
    {'o', "output", "PATH", "log into this file (default: stderr)",
     [](options& o, std::string_view v) { o.output = v; }},
    {'d', "daemonize", "", "run as a daemon", [](options& o, std::string_view) { o.daemonize = true; }},
    {'p', "pid-file", "PATH", "write the process's number into this file",
     [](options& o, std::string_view v) { o.pid_file = v; }},
    {'h', "help", "", "print this and exit", nullptr},
    {'V', "version", "", "print the version and exit", nullptr},
};

bool takes(const program_name& program, char letter) noexcept {
  return program.letters.find(letter) != std::string_view::npos;
}

}  // namespace

options parse_options(int argc, char** argv, const program_name& program) {
  options o;
  for_each_option(argc, argv, rows, o.trace, [&](const option_row& row, std::string_view value) {
    if (!takes(program, row.letter)) throw usage_error("this program has none of that; a later chapter does");
    if (row.letter == 'h') print_and_exit(help_text(program));
    if (row.letter == 'V') print_and_exit(std::string(program.name) + " " + std::string(version) + "\n");
    row.set(o, value);
  });
  obey_diagram(o.trace, nullptr);
  return o;
}

std::string help_text(const program_name& program) {
  const std::string name(program.name);
  std::string text = name + ": " + std::string(program.idea) + "\n\nusage: " + name + " [options]\n\n";
  constexpr std::size_t help_column = 29;
  for (const option_row& row : rows) {
    if (!takes(program, row.letter)) continue;
    std::string left = std::string("  -") + row.letter + ", --" + row.name;
    if (!row.argument.empty()) left += "=" + std::string(row.argument);
    text += help_line(std::move(left), help_column, row.text);
  }
  text += trace_help(help_column);
  if (takes(program, 's')) text += "\nSIGTTIN and SIGTTOU log more and less, SIGHUP opens the log file again.\n";
  text += "\nexample:\n  " + name + " -c nutcracker.yml -t && " + name + " -c nutcracker.yml -v 6\n";
  return text;
}

}  // namespace nutcracker
