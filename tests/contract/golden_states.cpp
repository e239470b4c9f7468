// Golden state traces: the order of states that a connection goes through, per chapter, as -vvv tells it on stderr. A
// chapter without a row is not checked, but says so; a chapter with one must have it for every conversation that it can
// hold.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "harness/client.h"
#include "harness/server_process.h"
#include "harness/target.h"

namespace contract {
namespace {

struct conversation_in_pieces {
  std::string_view name;
  std::string_view capability;      // that it takes
  std::vector<std::string> pieces;  // the next leaves when the server has read the one before
};

struct golden {
  std::vector<std::string_view> servers;
  std::string_view conversation;
  std::string_view states;  // the first, and then each that the connection went to
};

std::vector<conversation_in_pieces> conversations() {
  const std::string refused = "set a 0 0 2000000\r\n";
  return {
      {"quit", "line", {"quit\r\n"}},
      {"version", "line", {"version\r\n", "quit\r\n"}},
      {"version in pieces", "line", {"ver", "sion\r", "\nqu", "it\r\n"}},
      {"an error between two versions", "line", {"version\r\nnonsense\r\nversion\r\nquit\r\n"}},
      {"a line without end", "line", {std::string(2'050, 'x')}},
      {"set", "store", {"set a 0 0 3\r\nabc\r\n", "quit\r\n"}},
      {"set in pieces", "store", {"set a 0 0 3\r\n", "a", "bc\r", "\nquit\r\n"}},
      {"set, silent", "noreply", {"set a 0 0 3 noreply\r\nabc\r\n", "quit\r\n"}},
      {"get of what is not there", "store", {"get a\r\n", "quit\r\n"}},
      {"set and get", "store", {"set a 0 0 3\r\nabc\r\nget a\r\nquit\r\n"}},
      {"get of two", "multiget", {"set a 0 0 1\r\nx\r\nset b 0 0 1\r\ny\r\n", "get a b\r\n", "quit\r\n"}},
      {"a value refused", "swallow", {refused, std::string(2'000'000, 'x'), "\r\nquit\r\n"}},
  };
}

std::vector<golden> goldens() {
  const std::vector<std::string_view> one_read_state{"01-event-loop", "02-nread",         "03-mwrite",
                                                     "04-swallow",    "05-memcached-1.0", "06-worker-pool"};
  const std::vector<std::string_view> with_threads{"07-new-states", "08-conn-handoff",    "09-item-locks",
                                                   "10-transports", "11-binary-protocol", "12-maxconns"};
  const std::vector<std::string_view> storing(one_read_state.begin() + 1, one_read_state.end());
  const std::vector<std::string_view> copying{"02-nread"};
  const std::vector<std::string_view> straight_from_items(one_read_state.begin() + 2, one_read_state.end());
  const std::vector<std::string_view> swallowing(one_read_state.begin() + 3, one_read_state.end());
  return {
      {one_read_state, "quit", "conn_read conn_closing"},
      {one_read_state, "version", "conn_read conn_write conn_read conn_closing"},
      {one_read_state, "version in pieces", "conn_read conn_write conn_read conn_closing"},
      {one_read_state, "an error between two versions",
       "conn_read conn_write conn_read conn_write conn_read conn_write conn_read conn_closing"},
      {one_read_state, "a line without end", "conn_read conn_write conn_closing"},
      {storing, "set", "conn_read conn_nread conn_write conn_read conn_closing"},
      {storing, "set in pieces", "conn_read conn_nread conn_write conn_read conn_closing"},
      {storing, "set, silent", "conn_read conn_nread conn_read conn_closing"},
      {copying, "get of what is not there", "conn_read conn_write conn_read conn_closing"},
      {copying, "set and get", "conn_read conn_nread conn_write conn_read conn_write conn_read conn_closing"},
      {copying, "get of two",
       "conn_read conn_nread conn_write conn_read conn_nread conn_write conn_read conn_write conn_read conn_closing"},
      {straight_from_items, "get of what is not there", "conn_read conn_mwrite conn_write conn_read conn_closing"},
      {straight_from_items, "set and get",
       "conn_read conn_nread conn_write conn_read conn_mwrite conn_write conn_read conn_closing"},
      {straight_from_items, "get of two",
       "conn_read conn_nread conn_write conn_read conn_nread conn_write conn_read conn_mwrite conn_write conn_read "
       "conn_closing"},
      {swallowing, "a value refused", "conn_read conn_write conn_swallow conn_read conn_closing"},
      {with_threads, "quit", "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "version",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_write conn_new_cmd conn_waiting "
       "conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "version in pieces",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_waiting conn_read conn_parse_cmd "
       "conn_waiting conn_read conn_parse_cmd conn_write conn_new_cmd conn_parse_cmd conn_waiting "
       "conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "an error between two versions",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_write conn_new_cmd conn_parse_cmd "
       "conn_write conn_new_cmd conn_parse_cmd conn_write conn_new_cmd conn_parse_cmd conn_closing "
       "conn_closed"},
      {with_threads, "a line without end",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_write conn_closing conn_closed"},
      {with_threads, "set",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_nread conn_write conn_new_cmd "
       "conn_waiting conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "set in pieces",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_nread conn_write conn_new_cmd "
       "conn_waiting conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "set, silent",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_nread conn_new_cmd conn_waiting "
       "conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "get of what is not there",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_mwrite conn_new_cmd conn_waiting "
       "conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "set and get",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_nread conn_write conn_new_cmd "
       "conn_parse_cmd conn_mwrite conn_new_cmd conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "get of two",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_nread conn_write conn_new_cmd "
       "conn_parse_cmd conn_nread conn_write conn_new_cmd conn_waiting conn_read conn_parse_cmd "
       "conn_mwrite conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_closing conn_closed"},
      {with_threads, "a value refused",
       "conn_new_cmd conn_waiting conn_read conn_parse_cmd conn_write conn_swallow conn_new_cmd "
       "conn_waiting conn_read conn_parse_cmd conn_closing conn_closed"},
  };
}

// What the server says of its one client, all its states in a row.
std::string states_in(const std::string& output) {
  const std::regex pattern{R"((?:\[.*\] )?\d+: going from (\w+) to (\w+))"};
  std::istringstream lines{output};
  std::string states;
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (!std::regex_match(line, found, pattern)) continue;
    if (states.empty()) states = found[1];
    states += ' ' + found[2].str();
  }
  return states;
}

std::string states_of(const conversation_in_pieces& talk) {
  const server_process server{{"-vvv"}};
  client c{server};
  for (const std::string& piece : talk.pieces) {
    c.send(piece);
    c.wait_until_consumed();
  }
  // Every state is told before the close that we see.
  static_cast<void>(c.receive_rest());
  return states_in(server.output());
}

// Both lists, one state a line, up to where they part.
std::string difference(std::string_view expected, std::string_view seen) {
  std::istringstream left{std::string{expected}};
  std::istringstream right{std::string{seen}};
  std::string text;
  std::string a;
  std::string b;
  while (true) {
    const bool more_left = static_cast<bool>(left >> a);
    const bool more_right = static_cast<bool>(right >> b);
    if (!more_left && !more_right) return text;
    if (more_left && more_right && a == b) {
      text += "      " + a + "\n";
      continue;
    }
    text += "    - " + (more_left ? a : "(the end)") + "\n    + " + (more_right ? b : "(the end)") + "\n";
    return text;
  }
}

const golden* golden_for(const std::vector<golden>& all, std::string_view conversation) {
  const auto found = std::ranges::find_if(all, [&](const golden& g) {
    return g.conversation == conversation && std::ranges::count(g.servers, under_test().name()) > 0;
  });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

TEST_SUITE("line") {
  TEST_CASE("golden states") {
    const std::vector<golden> all = goldens();
    const bool known = std::ranges::any_of(
        all, [](const golden& g) { return std::ranges::count(g.servers, under_test().name()) > 0; });
    if (!known) {
      MESSAGE("no golden states for " << std::string{under_test().name()});
      return;
    }
    for (const conversation_in_pieces& talk : conversations()) {
      if (!under_test().can(talk.capability)) continue;
      const std::string seen = states_of(talk);
      const golden* const wanted = golden_for(all, talk.name);
      const std::string_view states = wanted != nullptr ? wanted->states : "";
      const std::string message = std::string{talk.name} + ": expected (-) and seen (+) part here\n" +
                                  difference(states, seen) + "  all that was seen:\n    " + seen;
      CHECK_MESSAGE(seen == states, message);
    }
  }
}

}  // namespace contract
