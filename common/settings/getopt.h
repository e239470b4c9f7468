// What the two command lines share, memcached's and nutcracker's: getopt_long led by a table, and the values that
// options take. What is thrown about a value does not name its option: for_each_option puts it in front.
#pragma once

#include <getopt.h>

#include <algorithm>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "common/basics/parsed.h"
#include "common/settings/settings.h"

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

// Calls set(row, value) for each option of the command line. A row has a `letter`, a long `name`, and an `argument`, ""
// where it takes none. Throws usage_error for an option that no row has, for a value too many or too few, for an
// argument left over, and for what `set` throws it for. Thread: set-up only; getopt has global variables.
template <std::ranges::contiguous_range Rows>
void for_each_option(int argc, char** argv, const Rows& rows, auto set) {
  const auto find = [&rows](int letter) {
    return std::ranges::find(rows, letter, [](const auto& row) { return row.letter; });
  };
  std::string letters = ":";  // the colon makes it tell a missing value from an unknown letter
  std::vector<option> names;
  for (const auto& row : rows) {
    letters += row.letter;
    if (!row.argument.empty()) letters += ':';
    names.push_back({row.name, row.argument.empty() ? no_argument : required_argument, nullptr, row.letter});
  }
  names.push_back({});

  opterr = 0;
  optind = 0;  // 0, not 1: glibc forgets where an earlier parse stopped
  for (int code; (code = getopt_long(argc, argv, letters.c_str(), names.data(), nullptr)) != -1;) {
    const bool refused = code == ':' || code == '?';
    const std::string letter = {'-', static_cast<char>(refused ? optopt : code)};
    if (code == ':') throw usage_error(letter + ": needs a value");
    if (refused && find(optopt) != std::ranges::end(rows)) throw usage_error(letter + ": takes no value");
    if (refused) {
      const std::string what = optopt == 0 ? argv[optind - 1] : letter;
      throw usage_error(what + ": unknown option; --help lists those there are");
    }
    try {
      set(*find(code), optarg == nullptr ? std::string_view{} : std::string_view{optarg});
    } catch (const usage_error& e) {
      throw usage_error(letter + ": " + e.what());
    }
  }
  if (optind < argc) throw usage_error(std::string(argv[optind]) + ": left over; every argument belongs to an option");
}
