// Who listens to the trace besides stderr, as the command line asks for it. The options stand in
// common/settings/getopt.h.
#pragma once

#include <string>

struct trace_options {
  std::string file{};     // --trace; "": none
  std::string conduct{};  // --conduct: the conductor's socket; "": none
  bool step = false;      // --step
  bool diagram = false;   // --diagram
};
