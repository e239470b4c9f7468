// binary: the protocol of packets, which a first byte of 0x80 announces (protocol-binary.txt).
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/packets.h"
#include "tests/contract/harness/printable.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/statistics.h"

namespace contract {
namespace {

using namespace packets;

std::string bytes_of_all_kinds(std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(0x80 + i * 7);
  return bytes;
}

// ---- the tables ----

dialogue of_value(const std::string& name, const std::string& bytes) {
  return {name, {{update(set, bytes), done(one)}, {keyed(get), found(bytes, one)}}};
}

dialogue of_key(const std::string& name, const std::string& key) {
  request store = update(set, "x");
  request fetch = keyed(getk);
  store.key = fetch.key = key;
  return {name, {{store, done(one)}, {fetch, {{.extras = u32(0), .key = key, .value = "x", .cas = one}}}}};
}

std::vector<dialogue> getting() {
  return {
      {"get what was never set", {{keyed(get), refused(not_found)}}},
      {"getk what was never set says which", {{keyed(getk), missed_with_key()}}},
      {"getq and getkq say nothing of it", {{keyed(getq), nothing}, {keyed(getkq), nothing}}},
      {"get in all forms",
       {{update(set, "hello"), done(one)},
        {keyed(get), found("hello", one)},
        {keyed(getq), found("hello", one)},
        {keyed(getk), found_with_key("hello", one)},
        {keyed(getkq), found_with_key("hello", one)}}},
      {"flags have 32 bits", {{update(set, "x", zero, 0xfedcba98), done()}, {keyed(get), found("x", any, 0xfedcba98)}}},
      {"set replaces value and flags",
       {{update(set, "one", zero, 1), done(one)},
        {update(set, "three", zero, 2), done(two)},
        {keyed(get), found("three", two, 2)}}},
      {"set what is long past", {{update(set, "x", zero, 0, long_past), done()}, {keyed(get), refused(not_found)}}},
      of_value("an empty value", ""),
      of_value("a value of line ends", "\r\n\r\n"),
      of_value("a value of every byte", bytes_of_all_kinds(256)),
      of_value("a value that looks like a packet", encode(bare(quit))),
      of_value("a value of 100,000 bytes", bytes_of_all_kinds(100'000)),
      of_value("a value of 1,048,000 bytes", bytes_of_all_kinds(1'048'000)),
      of_key("a key of 250 bytes", "@" + std::string(244, 'k')),
      of_key("a key of bytes that no line could have", "@ \r\n\x80\xff"),
  };
}

std::vector<dialogue> storing() {
  return {
      {"add what is not there", {{update(add, "x"), done(one)}, {keyed(get), found("x", one)}}},
      {"add what is there",
       {{update(set, "old"), done(one)}, {update(add, "new"), refused(exists)}, {keyed(get), found("old", one)}}},
      {"replace what is not there", {{update(replace, "x"), refused(not_found)}, {keyed(get), refused(not_found)}}},
      {"replace what is there",
       {{update(set, "old"), done(one)}, {update(replace, "newer"), done(two)}, {keyed(get), found("newer", two)}}},
      {"set with the right number",
       {{update(set, "x"), done(one)}, {update(set, "y", one), done(two)}, {keyed(get), found("y", two)}}},
      {"set a second time with the same number",
       {{update(set, "x"), done(one)},
        {update(set, "y", one), done(two)},
        {update(set, "z", one), refused(exists)},
        {keyed(get), found("y", two)}}},
      {"set with the wrong number", {{update(set, "x"), done(one)}, {update(set, "y", wrong), refused(exists)}}},
      {"set with a number what is not there", {{update(set, "y", wrong), refused(not_found)}}},
      {"add with a number asks for that one", {{update(add, "y", wrong), refused(not_found)}}},
      {"add with the right number", {{update(set, "x"), done(one)}, {update(add, "y", one), done(two)}}},
      {"replace with the right number", {{update(set, "x"), done(one)}, {update(replace, "y", one), done(two)}}},
      {"replace with the wrong number",
       {{update(set, "x"), done(one)}, {update(replace, "y", wrong), refused(exists)}}},
      {"append and prepend",
       {{update(set, "two", zero, 7), done()},
        {join(append, " three"), done()},
        {join(prepend, "one "), done(two)},
        {keyed(get), found("one two three", two, 7)}}},
      {"append nothing", {{update(set, "x"), done()}, {join(append, ""), done()}, {keyed(get), found("x")}}},
      {"append and prepend to what is not there",
       {{join(append, "x"), refused(not_stored)}, {join(prepend, "x"), refused(not_stored)}}},
      {"append with the right number", {{update(set, "x"), done(one)}, {join(append, "y", one), done(two)}}},
      {"append with the wrong number",
       {{update(set, "x"), done(one)}, {join(append, "y", wrong), refused(exists)}, {keyed(get), found("x", one)}}},
      {"delete", {{update(set, "x"), done()}, {keyed(remove), done(zero)}, {keyed(get), refused(not_found)}}},
      {"delete what is not there", {{keyed(remove), refused(not_found)}}},
      {"delete with the right number", {{update(set, "x"), done(one)}, {keyed(remove, one), done(zero)}}},
      {"delete with the wrong number",
       {{update(set, "x"), done(one)}, {keyed(remove, wrong), refused(exists)}, {keyed(get), found("x", one)}}},
      {"touch in all forms",
       {{update(set, "hello", zero, 7), done(one)},
        {touching(touch), found("", one, 7)},
        {touching(gat), found("hello", one, 7)},
        {touching(gatq), found("hello", one, 7)},
        {touching(gatk), {{.extras = u32(7), .key = "@a", .value = "hello", .cas = one}}},
        {touching(gatkq), {{.extras = u32(7), .key = "@a", .value = "hello", .cas = one}}}}},
      {"touch what is not there",
       {{touching(touch), refused(not_found)},
        {touching(gat), refused(not_found)},
        {touching(gatq), nothing},
        {touching(gatk), missed_with_key()},
        {touching(gatkq), nothing}}},
      {"touch with a time long past",
       {{update(set, "x"), done()}, {touching(touch, long_past), found("")}, {keyed(get), refused(not_found)}}},
      {"gat with a time long past",
       {{update(set, "x"), done()}, {touching(gat, long_past), found("x")}, {touching(gat), refused(not_found)}}},
  };
}

std::vector<dialogue> counting() {
  constexpr std::uint64_t largest = ~std::uint64_t{0};
  return {
      {"increment",
       {{update(set, "10"), done(one)}, {count(increment, 5), counted(15, two)}, {keyed(get), found("15", two)}}},
      {"decrement keeps the length",
       {{update(set, "10"), done()}, {count(decrement, 1), counted(9)}, {keyed(get), found("9 ")}}},
      {"decrement stops at 0", {{update(set, "5"), done()}, {count(decrement, largest), counted(0)}}},
      {"increment past the end", {{update(set, std::to_string(largest)), done()}, {count(increment, 2), counted(1)}}},
      {"increment to the end", {{update(set, "0"), done()}, {count(increment, largest), counted(largest)}}},
      {"what is no number",
       {{update(set, "word"), done(one)},
        {count(increment, 1), refused(not_a_number)},
        {count(decrement, 1), refused(not_a_number)},
        {count(incrementq, 1), refused(not_a_number)},
        {keyed(get), found("word", one)}}},
      {"with the right number", {{update(set, "1"), done(one)}, {count(increment, 1, 0, 0, one), counted(2, two)}}},
      {"with the wrong number",
       {{update(set, "1"), done()}, {count(increment, 1, 0, 0, wrong), refused(exists)}, {keyed(get), found("1")}}},
      {"what is not there is created with the initial value, the delta does not count",
       {{count(increment, 5, 100, 0), counted(100, one)},
        {keyed(get), found("100", one)},
        {count(decrement, 5, 7, 0), counted(95)}}},
      {"decrement creates, too", {{count(decrement, 5, largest, 0), counted(largest)}}},
      {"0 as the initial value", {{count(increment, 5, 0, 0), counted(0)}, {keyed(get), found("0")}}},
      {"an expiry of all ones creates nothing",
       {{count(increment, 1, 5), refused(not_found)},
        {count(decrement, 1, 5), refused(not_found)},
        {count(incrementq, 1, 5), refused(not_found)},
        {keyed(get), refused(not_found)}}},
      {"created, and long past", {{count(increment, 1, 5, long_past), counted(5)}, {keyed(get), refused(not_found)}}},
      {"the expiry of what is there stays",
       {{update(set, "1"), done()}, {count(increment, 1, 5, long_past), counted(2)}, {keyed(get), found("2")}}},
  };
}

std::vector<dialogue> quiet_commands() {
  return {
      {"success is silence",
       {{update(setq, "1"), nothing},
        {join(appendq, "2"), nothing},
        {join(prependq, "3"), nothing},
        {update(replaceq, "312"), nothing},
        {count(incrementq, 10), nothing},
        {count(decrementq, 1), nothing},
        {keyed(get), found("321")},
        {keyed(removeq), nothing},
        {update(addq, "x"), nothing},
        {bare(noop), done(zero)},
        {keyed(get), found("x")}}},
      {"failure is not",
       {{update(replaceq, "x"), refused(not_found)},
        {join(appendq, "x"), refused(not_stored)},
        {join(prependq, "x"), refused(not_stored)},
        {keyed(removeq), refused(not_found)},
        {update(setq, "x", wrong), refused(not_found)},
        {update(setq, "x"), nothing},
        {update(addq, "y"), refused(exists)},
        {update(setq, "y", wrong), refused(exists)},
        {keyed(removeq, wrong), refused(exists)},
        {keyed(get), found("x")}}},
      {"a get of many keys: getkq, ended by noop",
       {{{.op = getkq, .key = "@b"}, nothing},
        {update(setq, "x"), nothing},
        {keyed(getkq), found_with_key("x")},
        {{.op = getkq, .key = "@c"}, nothing},
        {keyed(getq), found("x")},
        {bare(noop), done(zero)}}},
      {"created in silence", {{count(incrementq, 1, 41, 0), nothing}, {count(increment, 1), counted(42)}}},
      {"100 of setq and getq",
       [] {
         std::vector<turn> turns;
         for (int i = 0; i < 100; ++i) {
           turns.push_back({update(setq, std::to_string(i)), nothing});
           turns.push_back({keyed(getq), found(std::to_string(i))});
         }
         return turns;
       }()},
  };
}

std::vector<dialogue> other_commands() {
  const auto answered_by_noops = [](std::vector<turn> turns) {
    turns.insert(turns.begin(), {bare(noop), done(zero)});
    turns.push_back({bare(noop), done(zero)});
    return turns;
  };
  request odd_fields = update(set, "x");
  odd_fields.data_type = 0xff;
  odd_fields.vbucket = 0xffff;
  const std::string long_body(300, '\x80');
  return {
      {"noop", answered_by_noops({})},
      {"quit says goodbye, and what follows is not done",
       {{bare(quit), done(zero)}, {update(set, "x"), nothing}},
       closed},
      {"quitq does not", {{update(set, "x"), done()}, {bare(quitq), nothing}, {bare(noop), nothing}}, closed},
      {"flush with a time to come, and its quiet form",
       {{update(set, "x"), done()},
        {timed(flush, u32(1'000)), done(zero)},
        {timed(flushq, u32(1'000)), nothing},
        {keyed(get), found("x")}}},
      {"nobody looks at data type and vbucket", {{odd_fields, done(one)}, {keyed(get), found("x", one)}}},
      {"verbosity is not known", answered_by_noops({{bare(verbosity), refused(unknown)}})},
      {"nor are others", answered_by_noops({{bare(opcode{0x1f}), refused(unknown)},
                                            {bare(opcode{0x25}), refused(unknown)},
                                            {bare(opcode{0x80}), refused(unknown)},
                                            {bare(opcode{0xff}), refused(unknown)}})},
      {"SASL is not known, and its bodies go by",
       answered_by_noops({{bare(sasl_list_mechs), refused(unknown)},
                          {{.op = sasl_auth, .key = "PLAIN", .value = long_body}, refused(unknown)},
                          {{.op = sasl_step, .key = "PLAIN", .value = "x"}, refused(unknown)}})},
  };
}

std::vector<dialogue> flushing() {
  return {
      {"flush", {{update(set, "x"), done()}, {bare(flush), done(zero)}, {keyed(get), refused(not_found)}}},
      {"flush, now",
       {{update(set, "x"), done()}, {timed(flush, u32(0)), done(zero)}, {keyed(get), refused(not_found)}}},
      {"flushq", {{update(set, "x"), done()}, {bare(flushq), nothing}, {keyed(get), refused(not_found)}}},
  };
}

std::vector<dialogue> without_cas() {
  return {
      {"set and get", {{update(set, "x"), done(zero)}, {keyed(get), found("x", zero)}}},
      {"increment", {{update(set, "1"), done(zero)}, {count(increment, 1), counted(2, zero)}}},
  };
}

// ---- statistics ----

struct named_value {
  std::string name;
  std::string value;
  bool operator==(const named_value&) const = default;
};

std::vector<named_value> stats_in_packets(client& c, std::string_view group) {
  constexpr std::uint64_t opaque = 0x0d0a2480;
  c.send(encode({.op = stat, .key = std::string{group}}, opaque));
  std::vector<named_value> all;
  while (true) {
    const packet p = receive_packet(c);
    const named_value next{p.key(), p.value()};
    if (p.bytes != encode(reply{.key = next.name, .value = next.value}, stat, opaque)) {
      throw std::runtime_error("not a statistic: " + printable(p.bytes));
    }
    if (next == named_value{}) return all;
    all.push_back(next);
  }
}

std::set<std::string> names_of(const std::vector<named_value>& all) {
  std::set<std::string> names;
  for (const named_value& each : all) names.insert(each.name);
  return names;
}

std::vector<named_value> stats_in_lines(client& c, std::string_view group) {
  const statistics st{c, group};
  std::vector<named_value> all;
  for (const auto& [name, value] : st.lines()) all.push_back({name, value});
  return all;
}

}  // namespace

TEST_SUITE("binary") {
  TEST_CASE("packets: getting") {
    const server_process server;
    play(server, getting());
  }

  TEST_CASE("packets: storing") {
    const server_process server;
    play(server, storing());
  }

  TEST_CASE("packets: counting") {
    const server_process server;
    play(server, counting());
  }

  TEST_CASE("packets: quiet commands") {
    const server_process server;
    play(server, quiet_commands());
  }

  TEST_CASE("packets: other commands") {
    const server_process server;
    play(server, other_commands());
  }

  TEST_CASE("packets: flushing") {
    const server_process server;
    play(server, flushing());
  }

  TEST_CASE("packets: -F forbids flushing") {
    const server_process server{{"-F"}};
    const std::vector<dialogue> table{
        {"both forms", {{bare(flush), refused(forbidden)}, {bare(flushq), refused(forbidden)}}}};
    play(server, table);
  }

  TEST_CASE("packets: -C leaves no number") {
    const server_process server{{"-C"}};
    play(server, without_cas());
  }

  TEST_CASE("packets: version is what it is in lines") {
    const server_process server;
    client in_packets{server};
    client in_lines{server};
    const packet answer = ask(in_packets, bare(version));
    CHECK(answer.bytes == encode(reply{.value = answer.value()}, version));
    CHECK("VERSION " + answer.value() + "\r\n" == in_lines.ask("version"));
  }

  TEST_CASE("packets: statistics have the names that they have in lines") {
    const server_process server;
    client in_packets{server};
    client in_lines{server};
    REQUIRE(ask(in_packets, {.op = set, .extras = u64(0), .key = "a", .value = "x"}).status() == 0);
    for (const std::string_view group : {"", "settings", "items", "slabs"}) {
      CAPTURE(group);
      const auto names = names_of(stats_in_packets(in_packets, group));
      CHECK(names.size() > 3);
      CHECK((names == names_of(stats_in_lines(in_lines, group))));
    }
    CHECK((stats_in_packets(in_packets, "settings") == stats_in_lines(in_lines, "settings")));
    CHECK((stats_in_packets(in_packets, "items") == stats_in_lines(in_lines, "items")));
  }

  TEST_CASE("packets: statistics that do something, and such that there are not") {
    const server_process server;
    client c{server};
    const auto sets = [&] {
      const auto all = stats_in_packets(c, "");
      return std::ranges::find(all, "cmd_set", &named_value::name)->value;
    };
    CHECK(stats_in_packets(c, "detail on").empty());
    REQUIRE(ask(c, {.op = set, .extras = u64(0), .key = "prefix:a", .value = "x"}).status() == 0);
    const auto dump = stats_in_packets(c, "detail dump");
    REQUIRE(dump.size() == 1);
    CHECK(dump[0].name == "detailed");
    CHECK(dump[0].value == "PREFIX prefix get 0 hit 0 set 1 del 0\r\nEND\r\n");
    CHECK(sets() == "1");
    CHECK(stats_in_packets(c, "reset").empty());
    CHECK(sets() == "0");
    CHECK(stats_in_packets(c, "detail off").empty());
    CHECK(ask(c, {.op = stat, .key = "nonsense"}).bytes ==
          encode(reply{.status = not_found.number, .value = std::string{not_found.text}}, stat));
    CHECK(ask(c, bare(noop)).status() == 0);
  }

  TEST_CASE("-B auto: each connection speaks as it began") {
    const server_process server;
    client in_packets{server};
    client in_lines{server};
    REQUIRE(ask(in_packets, {.op = set, .extras = u32(7) + u32(0), .key = "a", .value = "x"}).status() == 0);
    in_lines.send("get a\r\n");
    CHECK(in_lines.receive_until("END\r\n") == "VALUE a 7 1\r\nx\r\nEND\r\n");
    CHECK(in_lines.ask("append a 0 0 1\r\ny") == "STORED\r\n");
    CHECK(ask(in_packets, {.op = get, .key = "a"}).value() == "xy");
    CHECK(in_lines.ask(encode({.op = get, .key = "a"})) == "ERROR\r\n");
    in_packets.send("get a, which is longer than a header\r\n");
    CHECK(in_packets.receive_rest() == "");
    CHECK(in_lines.ask("version").starts_with("VERSION "));
  }

  TEST_CASE("-B ascii: a packet is a line that makes no sense") {
    const server_process server{{"-B", "ascii"}};
    client c{server};
    CHECK(c.ask(encode({.op = get, .key = "a"})) == "ERROR\r\n");
    CHECK(c.ask("version").starts_with("VERSION "));
  }

  TEST_CASE("-B binary: a line is the end") {
    const server_process server{{"-B", "binary"}};
    client in_lines{server};
    in_lines.send("get a, which is longer than a header\r\n");
    CHECK(in_lines.receive_rest() == "");
    client in_packets{server};
    CHECK(ask(in_packets, bare(noop)).bytes == encode(reply{}, noop));
  }
}

}  // namespace contract
