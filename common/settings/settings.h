// memcached's command line. Field names are memcached's own (its `struct settings`).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/basics/binding_protocol.h"
#include "common/trace/options.h"

// Immutable once parsed, except where a command changes it (verbosity, which lives in the trace).
struct settings {
  int port = 11211;                                           // -p; 0: no TCP, -1: a port of the kernel's choice
  int udpport = 0;                                            // -U; as -p
  std::string socketpath;                                     // -s
  mode_t access = 0700;                                       // -a
  std::vector<std::string> inter;                             // -l; empty: all interfaces
  std::size_t maxbytes = 64u << 20;                           // -m, bytes
  bool evict_to_free = true;                                  // false: -M
  int maxconns = 1024;                                        // -c
  int num_threads = 4;                                        // -t
  int reqs_per_event = 20;                                    // -R
  int backlog = 1024;                                         // -b
  binding_protocol protocol = binding_protocol::negotiating;  // -B
  std::size_t item_size_max = 1u << 20;                       // -I, bytes
  double factor = 1.25;                                       // -f
  std::size_t chunk_size = 48;                                // -n
  bool use_cas = true;                                        // false: -C
  bool flush_enabled = true;                                  // false: -F
  unsigned verbose = 0;                                       // -v, -vv, -vvv
  bool daemonize = false;                                     // -d
  std::string pid_file;                                       // -P
  std::string username;                                       // -u
  bool lock_memory = false;                                   // -k
  bool maximize_core = false;                                 // -r
  bool maxconns_fast = false;                                 // -o maxconns_fast
  unsigned hashpower_init = 16;                               // -o hashpower=N
  std::vector<std::string> without_effect;                    // -o: names of 1.4.25 that are taken, and do nothing
  bool nagle = false;                                         // -o nagle (chapter 03's experiment)
  std::string server;                                         // -o server=HOST:PORT (chapter 14)
  bool level_triggered = false;                               // -o level (chapter 13's experiments)
  bool read_once = false;                                     // -o read_once
  trace_options trace;                                        // long options without a letter
};

// What one chapter's program is called and takes.
struct command_line {
  std::string_view program;             // "05-memcached-1.0"
  std::string_view idea;                // one line for --help
  std::string_view flags;               // the letters it takes, e.g. "pslbcvuhV"; with 'm' it stores
  std::string_view extended;            // the names it takes after -o, beside those of whoever stores; with commas
  std::string (*diagram)() = nullptr;   // what --diagram prints; none where there are no states
  std::string_view version = "1.4.25";  // of the memcached whose protocol it speaks
};

// What(): one line for stderr; the program then exits with EX_USAGE (64).
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// --help, -h and -V print and exit with status 0. Throws usage_error for a flag that the chapter does not take (saying
// so), a bad value, or an argument left over.
[[nodiscard]] settings parse_command_line(int argc, char** argv, const command_line& chapter);

// What --help prints: the flags of this chapter and no others.
[[nodiscard]] std::string help_text(const command_line& chapter);
