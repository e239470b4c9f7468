// store: the commands that keep, change, and give back one value (protocol.txt, "Storage commands" to "Touch").
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

constexpr auto closed = ending_with::connection_closed;

const std::string bad_line = "CLIENT_ERROR bad command line format\r\n";
const std::string bad_delta = "CLIENT_ERROR invalid numeric delta argument\r\n";
const std::string not_a_number = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
const std::string delete_usage = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";

// A key of n bytes, the first seven of them "@a".
std::string key(std::size_t n) { return "@a" + std::string(n - 7, 'k'); }

std::string value(std::size_t n) {
  std::string bytes(n, '\0');
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>('a' + i * 7 % 26);
  return bytes;
}

std::string set_command(const std::string& name, const std::string& bytes) {
  return "set " + name + " 0 0 " + std::to_string(bytes.size()) + "\r\n" + bytes + "\r\n";
}

std::string found(const std::string& name, const std::string& bytes) {
  return "VALUE " + name + " 0 " + std::to_string(bytes.size()) + "\r\n" + bytes + "\r\nEND\r\n";
}

conversation of_value(const std::string& name, const std::string& bytes) {
  return {name, {{set_command("@a", bytes), "STORED\r\n"}, {"get @a\r\n", found("@a", bytes)}}};
}

// What becomes of a number.
conversation arithmetic(const std::string& from, const std::string& command, const std::string& answer,
                        const std::string& then) {
  return {"\"" + from + "\", " + command,
          {{set_command("@a", from), "STORED\r\n"}, {command + "\r\n", answer}, {"get @a\r\n", found("@a", then)}}};
}

std::vector<conversation> setting_and_getting() {
  return {
      {"get what was never set", {{"get @a\r\n", "END\r\n"}}},
      {"set, then get", {{"set @a 0 0 5\r\nhello\r\n", "STORED\r\n"}, {"get @a\r\n", found("@a", "hello")}}},
      {"flags come back",
       {{"set @a 12345 0 1\r\nx\r\n", "STORED\r\n"}, {"get @a\r\n", "VALUE @a 12345 1\r\nx\r\nEND\r\n"}}},
      {"flags have 32 bits",
       {{"set @a 4294967295 0 1\r\nx\r\n", "STORED\r\n"}, {"get @a\r\n", "VALUE @a 4294967295 1\r\nx\r\nEND\r\n"}}},
      {"set replaces value and flags",
       {{"set @a 1 0 3\r\none\r\nset @a 2 0 5\r\nthree\r\n", "STORED\r\nSTORED\r\n"},
        {"get @a\r\n", "VALUE @a 2 5\r\nthree\r\nEND\r\n"}}},
      {"a lone line feed ends the command line, too",
       {{"set @a 0 0 1\nx\r\n", "STORED\r\n"}, {"get @a\n", found("@a", "x")}}},
      of_value("an empty value", ""),
      of_value("a value of line ends", "\r\n\r\n\r\n"),
      of_value("a value that looks like commands", "get a\r\nquit\r\nset b 0 0 1"),
      of_value("a value of NUL bytes", std::string(7, '\0')),
      of_value("a value beyond ASCII", "\x80\x81\xff\xfe"),
      of_value("a value that ends in a carriage return", "value\r"),
      of_value("a value of 10,000 bytes", value(10'000)),
      of_value("a value of 1,048,000 bytes", value(1'048'000)),
      {"a key of 250 bytes",
       {{set_command(key(250), "x"), "STORED\r\n"}, {"get " + key(250) + "\r\n", found(key(250), "x")}}},
      {"a key of control characters' neighbours",
       {{set_command("@!~\"'%s\\", "x"), "STORED\r\n"}, {"get @!~\"'%s\\\r\n", found("@!~\"'%s\\", "x")}}},
      {"250 of set and get in a row",
       {{repeat("set @a 0 0 2\r\nhi\r\nget @a\r\n", 250), repeat("STORED\r\n" + found("@a", "hi"), 250)}}},
      {"quit after a value", {{"set @a 0 0 2\r\nhi\r\nquit\r\n", "STORED\r\n"}}, closed},
  };
}

std::vector<conversation> conditions() {
  return {
      {"add what is not there", {{"add @a 0 0 1\r\nx\r\n", "STORED\r\n"}, {"get @a\r\n", found("@a", "x")}}},
      {"add what is there",
       {{set_command("@a", "old"), "STORED\r\n"},
        {"add @a 0 0 3\r\nnew\r\n", "NOT_STORED\r\n"},
        {"get @a\r\n", found("@a", "old")}}},
      {"replace what is not there", {{"replace @a 0 0 1\r\nx\r\n", "NOT_STORED\r\n"}, {"get @a\r\n", "END\r\n"}}},
      {"replace what is there",
       {{set_command("@a", "old"), "STORED\r\n"},
        {"replace @a 0 0 5\r\nnewer\r\n", "STORED\r\n"},
        {"get @a\r\n", found("@a", "newer")}}},
      {"append",
       {{set_command("@a", "one"), "STORED\r\n"},
        {"append @a 9 0 4\r\n two\r\n", "STORED\r\n"},
        {"get @a\r\n", found("@a", "one two")}}},
      {"append to what is not there", {{"append @a 0 0 1\r\nx\r\n", "NOT_STORED\r\n"}, {"get @a\r\n", "END\r\n"}}},
      {"append nothing",
       {{set_command("@a", "one"), "STORED\r\n"},
        {"append @a 0 0 0\r\n\r\n", "STORED\r\n"},
        {"get @a\r\n", found("@a", "one")}}},
      {"prepend",
       {{set_command("@a", "one"), "STORED\r\n"},
        {"prepend @a 9 0 5\r\nzero \r\n", "STORED\r\n"},
        {"get @a\r\n", found("@a", "zero one")}}},
      {"prepend to what is not there", {{"prepend @a 0 0 1\r\nx\r\n", "NOT_STORED\r\n"}}},
      {"gets shows a number",
       {{set_command("@a", "x"), "STORED\r\n"}, {"gets @a\r\n", "VALUE @a 0 1 $n\r\nx\r\nEND\r\n"}}},
      {"cas with the right number",
       {{set_command("@a", "x"), "STORED\r\n"},
        {"gets @a\r\n", "VALUE @a 0 1 $1\r\nx\r\nEND\r\n"},
        {"cas @a 0 0 3 $1\r\nnew\r\n", "STORED\r\n"},
        {"get @a\r\n", found("@a", "new")}}},
      {"cas a second time with the same number",
       {{set_command("@a", "x"), "STORED\r\n"},
        {"gets @a\r\n", "VALUE @a 0 1 $1\r\nx\r\nEND\r\n"},
        {"cas @a 0 0 3 $1\r\nnew\r\ncas @a 0 0 5 $1\r\nnewer\r\n", "STORED\r\nEXISTS\r\n"},
        {"get @a\r\n", found("@a", "new")}}},
      {"cas after somebody else's set",
       {{set_command("@a", "x"), "STORED\r\n"},
        {"gets @a\r\n", "VALUE @a 0 1 $1\r\nx\r\nEND\r\n"},
        {set_command("@a", "y") + "cas @a 0 0 3 $1\r\nnew\r\n", "STORED\r\nEXISTS\r\n"},
        {"get @a\r\n", found("@a", "y")}}},
      {"the same number as long as nothing changes",
       {{set_command("@a", "x"), "STORED\r\n"},
        {"gets @a\r\n", "VALUE @a 0 1 $1\r\nx\r\nEND\r\n"},
        {"get @a\r\ntouch @a 0\r\n", found("@a", "x") + "TOUCHED\r\n"},
        {"cas @a 0 0 1 $1\r\ny\r\n", "STORED\r\n"}}},
      {"append changes the number",
       {{set_command("@a", "x"), "STORED\r\n"},
        {"gets @a\r\n", "VALUE @a 0 1 $1\r\nx\r\nEND\r\n"},
        {"append @a 0 0 1\r\ny\r\ncas @a 0 0 1 $1\r\nz\r\n", "STORED\r\nEXISTS\r\n"}}},
      {"incr changes the number",
       {{set_command("@a", "1"), "STORED\r\n"},
        {"gets @a\r\n", "VALUE @a 0 1 $1\r\n1\r\nEND\r\n"},
        {"incr @a 1\r\ncas @a 0 0 1 $1\r\nz\r\n", "2\r\nEXISTS\r\n"}}},
      {"cas of what is not there", {{"cas @a 0 0 1 1\r\nx\r\n", "NOT_FOUND\r\n"}, {"get @a\r\n", "END\r\n"}}},
      {"delete", {{set_command("@a", "x") + "delete @a\r\nget @a\r\n", "STORED\r\nDELETED\r\nEND\r\n"}}},
      {"delete what is not there", {{"delete @a\r\n", "NOT_FOUND\r\n"}}},
      {"delete with the old argument 0", {{set_command("@a", "x") + "delete @a 0\r\n", "STORED\r\nDELETED\r\n"}}},
      {"delete with another time",
       {{set_command("@a", "x") + "delete @a 10\r\n", "STORED\r\n" + delete_usage}, {"get @a\r\n", found("@a", "x")}}},
      {"delete with a word too many", {{"delete @a 0 noreply foo\r\n", "ERROR\r\n"}}},
      {"touch",
       {{set_command("@a", "x") + "touch @a 100\r\n", "STORED\r\nTOUCHED\r\n"}, {"get @a\r\n", found("@a", "x")}}},
      {"touch what is not there", {{"touch @a 0\r\n", "NOT_FOUND\r\n"}}},
      {"touch with a word for a time", {{"touch @a soon\r\n", "CLIENT_ERROR invalid exptime argument\r\n"}}},
  };
}

std::vector<conversation> numbers() {
  const std::string largest = "18446744073709551615";
  return {
      {"incr what is not there", {{"incr @a 1\r\n", "NOT_FOUND\r\n"}}},
      {"decr what is not there", {{"decr @a 1\r\n", "NOT_FOUND\r\n"}}},
      arithmetic("10", "incr @a 5", "15\r\n", "15"),
      arithmetic("99", "incr @a 1", "100\r\n", "100"),
      arithmetic("10", "incr @a 0", "10\r\n", "10"),
      arithmetic("10", "decr @a 3", "7\r\n", "7 "),
      arithmetic("100", "decr @a 1", "99\r\n", "99 "),
      arithmetic("5", "decr @a 6", "0\r\n", "0"),
      arithmetic("5", "decr @a " + largest, "0\r\n", "0"),
      arithmetic(largest, "incr @a 1", "0\r\n", "0" + std::string(19, ' ')),
      arithmetic(largest, "incr @a 11", "10\r\n", "10" + std::string(18, ' ')),
      arithmetic("1", "incr @a " + largest, "0\r\n", "0"),
      arithmetic("0", "incr @a " + largest, largest + "\r\n", largest),
      arithmetic("18446744073709551616", "incr @a 1", not_a_number, "18446744073709551616"),
      arithmetic("word", "incr @a 1", not_a_number, "word"),
      arithmetic("word", "decr @a 1", not_a_number, "word"),
      arithmetic("-1", "incr @a 1", not_a_number, "-1"),
      arithmetic("", "incr @a 1", not_a_number, ""),
      arithmetic("10", "incr @a word", bad_delta, "10"),
      arithmetic("10", "incr @a -1", bad_delta, "10"),
      arithmetic("10", "decr @a 18446744073709551616", bad_delta, "10"),
      {"decr keeps the length, and the number reads on",
       {{set_command("@a", "100") + "decr @a 1\r\nincr @a 1\r\n", "STORED\r\n99\r\n100\r\n"},
        {"get @a\r\n", found("@a", "100")}}},
      {"flags survive incr",
       {{"set @a 7 0 1\r\n9\r\nincr @a 1\r\n", "STORED\r\n10\r\n"}, {"get @a\r\n", "VALUE @a 7 2\r\n10\r\nEND\r\n"}}},
  };
}

std::vector<conversation> words_of_a_line() {
  return {
      {"version takes no further word", {{"version foo bar\r\n", "ERROR\r\n"}}},
      {"version has no noreply", {{"version noreply\r\n", "ERROR\r\n"}}},
      {"verbosity is", {{"verbosity 0 noreply\r\n", ""}}},
      {"blanks before and after a command", {{"   version  \r\n", "VERSION $*\r\n"}}},
      {"blanks between the words",
       {{"  set   @a  0 0   1  \r\nx\r\n", "STORED\r\n"}, {" get  @a \r\n", found("@a", "x")}}},
      {"a tab is no blank", {{"get\t@a\r\n", "ERROR\r\n"}}, after_what_is_unknown()},
  };
}

std::vector<conversation> bad_lines() {
  return {
      {"words missing", {{"get\r\ngets\r\ndelete\r\nincr @a\r\ntouch @a\r\n", repeat("ERROR\r\n", 5)}}},
      {"a key of 251 bytes for get", {{"get " + key(251) + "\r\n", bad_line}}},
      {"a key of 251 bytes after another", {{"get @b " + key(251) + "\r\n", bad_line}}},
      {"a key of 251 bytes for delete, incr and touch",
       {{"delete " + key(251) + "\r\nincr " + key(251) + " 1\r\ntouch " + key(251) + " 1\r\n", repeat(bad_line, 3)}}},
  };
}

// A command line that is refused says nothing of a value: what follows it is read as commands.
std::vector<conversation> bad_lines_before_a_value() {
  return {
      {"words missing", {{"set\r\nset @a\r\nset @a 0 0\r\ncas @a 0 0 1\r\n", repeat("ERROR\r\n", 4)}}},
      {"words too many", {{"set @a 0 0 1 noreply too many\r\n", "ERROR\r\n"}}},
      {"flags that are no number", {{"set @a x 0 3\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"flags below zero", {{"set @a -1 0 3\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"a time that is no number", {{"set @a 0 soon 3\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"a length that is no number", {{"set @a 0 0 x\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"a length with a tail", {{"set @a 0 0 3x\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"a length below zero", {{"set @a 0 0 -1\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"the largest length of 31 bits", {{"set @a 0 0 2147483647\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"a number for cas that is none", {{"cas @a 0 0 3 x\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
      {"a key of 251 bytes for set", {{"set " + key(251) + " 0 0 3\r\nversion\r\n", bad_line + "VERSION $*\r\n"}}},
  };
}

// A proxy throws the value away, and hangs up where it cannot tell how long it is: no byte of it may be a command.
std::vector<conversation> bad_lines_before_a_value_that_is_no_command() {
  constexpr auto ends = ending_with::connection_closed;
  return {
      {"words missing", {{"set @a 0 0\r\nversion\r\n", "ERROR\r\n"}}, ends},
      {"words too many", {{"set @a 0 0 1 noreply too many\r\nversion\r\n", "ERROR\r\n"}}, ends},
      {"flags that are no number", {{"set @a x 0 7\r\nversion\r\n", bad_line}}},
      {"flags below zero", {{"set @a -1 0 7\r\nversion\r\n", bad_line}}},
      {"a time that is no number", {{"set @a 0 soon 7\r\nversion\r\n", bad_line}}},
      {"a length that is no number", {{"set @a 0 0 x\r\nversion\r\n", bad_line}}, ends},
      {"a length with a tail", {{"set @a 0 0 7x\r\nversion\r\n", bad_line}}, ends},
      {"a length below zero", {{"set @a 0 0 -1\r\nversion\r\n", bad_line}}, ends},
      {"the largest length of 31 bits", {{"set @a 0 0 2147483647\r\nversion\r\n", bad_line}}, ends},
      {"a number for cas that is none", {{"cas @a 0 0 7 x\r\nversion\r\n", bad_line}}},
      {"a key of 251 bytes for set", {{"set " + key(251) + " 0 0 7\r\nversion\r\n", bad_line}}},
  };
}

}  // namespace

TEST_SUITE("store") {
  TEST_CASE("setting and getting") {
    const server_process server;
    play(server, setting_and_getting());
  }

  TEST_CASE("conditions") {
    const server_process server;
    play(server, conditions());
  }

  TEST_CASE("numbers") {
    const server_process server;
    play(server, numbers());
  }

  TEST_CASE("the words of a command line") {
    const server_process server;
    play(server, words_of_a_line());
  }

  TEST_CASE("command lines that are refused") {
    const server_process server;
    play(server, bad_lines());
    play(server,
         under_test().can("proxy") ? bad_lines_before_a_value_that_is_no_command() : bad_lines_before_a_value());
  }
}

}  // namespace contract
