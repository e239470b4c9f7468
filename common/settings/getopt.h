// What the two command lines share, memcached's and nutcracker's: getopt_long led by a table, the values that options
// take, and the options of the trace. What is thrown about a value does not name its option: for_each_option puts it in
// front.
#pragma once

#include <getopt.h>

#include <algorithm>
#include <climits>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "common/basics/parsed.h"
#include "common/settings/settings.h"
#include "common/trace/options.h"

// Throws usage_error: "70000 is not a port (0 to 65535)".
template <std::integral number>
[[nodiscard]] number between(number low, number high, std::string_view value, const std::string& what) {
  const auto n = parsed<number>(value);
  if (n && *n >= low && *n <= high) return *n;
  throw usage_error(std::string(value) + " is not " + what + " (" + std::to_string(low) + " to " +
                    std::to_string(high) + ")");
}

[[nodiscard]] inline std::string not_empty(std::string_view value) {
  if (value.empty()) throw usage_error("its value is empty");
  return std::string(value);
}

// What -h and -V do.
[[noreturn]] inline void print_and_exit(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::exit(std::fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

// A line of --help.
[[nodiscard]] inline std::string help_line(std::string left, std::size_t column, std::string_view right) {
  left.resize(std::max(column, left.size() + 2), ' ');
  return left + std::string(right) + "\n";
}

// --- The trace's own options ----------------------------------------------------------------------------------------

// Both command lines append this table to their own. No row has a letter, so none can clash with a letter of
// memcached's or of nutcracker's.
struct trace_option_row {
  const char* name;
  std::string_view argument;  // "": it takes none
  std::string_view text;
  void (*set)(trace_options& o, std::string_view value);
};

inline constexpr trace_option_row trace_option_rows[] = {
    {"trace", "FILE", "write what happens into this file, which ui.perfetto.dev shows",
     [](trace_options& o, std::string_view v) { o.file = not_empty(v); }},
    {"conduct", "PATH", "let whoever opens this unix socket hold the threads where he likes",
     [](trace_options& o, std::string_view v) { o.conduct = not_empty(v); }},
    {"step", "", "wait for Return on the terminal at each event",
     [](trace_options& o, std::string_view) { o.step = true; }},
    {"diagram", "", "print the states and their ways for Mermaid, and exit",
     [](trace_options& o, std::string_view) { o.diagram = true; }},
};

// Does what --diagram asks for. `diagram`: what to print; nullptr: this program has no states, usage_error.
inline void obey_diagram(const trace_options& o, std::string (*diagram)()) {
  if (!o.diagram) return;
  if (diagram == nullptr) throw usage_error("--diagram: a proxy has no states but handlers; chapters 01 to 12 have");
  print_and_exit(diagram());
}

// What --help says of them. `column`: where the texts begin.
[[nodiscard]] inline std::string trace_help(std::size_t column) {
  std::string text = "\nto see what it does:\n";
  for (const trace_option_row& row : trace_option_rows) {
    const std::string value = row.argument.empty() ? "" : "=" + std::string(row.argument);
    text += help_line(std::string("      --") + row.name + value, column, row.text);
  }
  return text;
}

// --- Parsing --------------------------------------------------------------------------------------------------------

// Calls set(row, value) for each option of the command line, and fills `trace` from the trace's own. A row has a
// `letter`, a long `name`, and an `argument`, "" where it takes none. Throws usage_error for an option that no row has,
// for a value too many or too few, for an argument left over, and for what `set` throws it for.
// Thread: set-up only; getopt has global variables.
template <std::ranges::contiguous_range Rows>
void for_each_option(int argc, char** argv, const Rows& rows, trace_options& trace, auto set) {
  const auto find = [&rows](int letter) {
    return std::ranges::find(rows, letter, [](const auto& row) { return row.letter; });
  };
  std::string letters = ":";  // the colon makes it tell a missing value from an unknown letter
  std::vector<option> names;
  const auto add_name = [&names](const auto& row, int code) {
    names.push_back({row.name, row.argument.empty() ? no_argument : required_argument, nullptr, code});
  };
  for (const auto& row : rows) {
    letters += row.letter;
    if (!row.argument.empty()) letters += ':';
    add_name(row, row.letter);
  }
  constexpr int beyond_letters = UCHAR_MAX + 1;  // the code of the first row that has none
  for (const trace_option_row& row : trace_option_rows) {
    add_name(row, beyond_letters + static_cast<int>(&row - trace_option_rows));
  }
  names.push_back({});

  opterr = 0;
  optind = 0;  // 0, not 1: glibc forgets where an earlier parse stopped
  for (int found; (found = getopt_long(argc, argv, letters.c_str(), names.data(), nullptr)) != -1;) {
    const bool refused = found == ':' || found == '?';
    const int code = refused ? optopt : found;
    const trace_option_row* const of_trace =
        code >= beyond_letters ? &trace_option_rows[code - beyond_letters] : nullptr;
    const std::string name =
        of_trace != nullptr ? std::string("--") + of_trace->name : std::string{'-', static_cast<char>(code)};
    if (found == ':') throw usage_error(name + ": needs a value");
    if (refused && (of_trace != nullptr || find(code) != std::ranges::end(rows))) {
      throw usage_error(name + ": takes no value");
    }
    if (refused) {
      const std::string what = code == 0 ? argv[optind - 1] : name;
      throw usage_error(what + ": unknown option; --help lists those there are");
    }
    const std::string_view value = optarg == nullptr ? std::string_view{} : std::string_view{optarg};
    try {
      if (of_trace != nullptr) {
        of_trace->set(trace, value);
      } else {
        set(*find(code), value);
      }
    } catch (const usage_error& e) {
      throw usage_error(name + ": " + e.what());
    }
  }
  if (optind < argc) throw usage_error(std::string(argv[optind]) + ": left over; every argument belongs to an option");
}
