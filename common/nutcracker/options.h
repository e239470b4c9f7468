// The proxy's command line: nutcracker's letters, long names and defaults.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/nutcracker/log.h"
#include "common/settings/settings.h"
#include "common/trace/options.h"

namespace nutcracker {

// Field names are nutcracker's long options.
struct options {
  std::string conf_file = "conf/nutcracker.yml";     // -c
  std::uint16_t stats_port = 22222;                  // -s; 0: one of the kernel's choice
  std::string stats_addr = "0.0.0.0";                // -a
  std::chrono::milliseconds stats_interval{30'000};  // -i, at least 1
  std::size_t mbuf_size = 16'384;                    // -m, bytes, 512 to 16 MiB
  log_level verbosity = log_level::notice;           // -v
  std::string output;                                // -o; "": stderr
  std::string pid_file;                              // -p; "": none
  bool daemonize = false;                            // -d
  bool test_conf = false;                            // -t: read the conf, say whether it is good, exit
  bool describe_stats = false;                       // -D: say what the statistics mean, exit
  trace_options trace;                               // long options without a letter
};

// What the program is called, and one line about it for --help.
struct program_name {
  std::string_view name;  // "15-nc-pools"
  std::string_view idea;
  std::string_view letters;  // the options that it takes
};

// -h and -V print and exit with status 0. Throws usage_error (common/settings) for an unknown option, one that this
// program does not take, a bad value or an argument left over. Where nutcracker 0.5.0 takes more, it means nothing: an
// argument left over is passed over, a verbosity above 11 is 11, an interval of 0 spins.
[[nodiscard]] options parse_options(int argc, char** argv, const program_name& program);

// What --help prints.
[[nodiscard]] std::string help_text(const program_name& program);

}  // namespace nutcracker
