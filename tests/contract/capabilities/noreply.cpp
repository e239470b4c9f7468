// noreply: a command that says so is done in silence (protocol.txt, "noreply").
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/server_process.h"

namespace contract {
namespace {

// The commands, and then what a get of @a finds.
conversation silent(const std::string& name, const std::string& commands, const std::string& bytes) {
  const std::string value = "VALUE @a 0 " + std::to_string(bytes.size()) + "\r\n" + bytes + "\r\nEND\r\n";
  return {name, {{"set @a 0 0 2 noreply\r\n10\r\n" + commands + "get @a\r\n", value}}};
}

std::vector<conversation> silence() {
  return {
      silent("set", "", "10"),
      silent("add of what is there", "add @a 0 0 1 noreply\r\nx\r\n", "10"),
      silent("replace", "replace @a 0 0 1 noreply\r\nx\r\n", "x"),
      silent("append", "append @a 0 0 1 noreply\r\nx\r\n", "10x"),
      silent("prepend", "prepend @a 0 0 1 noreply\r\nx\r\n", "x10"),
      silent("incr", "incr @a 5 noreply\r\n", "15"),
      silent("decr", "decr @a 5 noreply\r\n", "5 "),
      silent("incr of what is not there", "incr @b 5 noreply\r\n", "10"),
      silent("touch", "touch @a 0 noreply\r\n", "10"),
      silent("touch of what is not there", "touch @b 0 noreply\r\n", "10"),
      silent("delete of what is not there", "delete @b noreply\r\n", "10"),
      silent("cas of what is not there", "cas @b 0 0 1 1 noreply\r\nx\r\n", "10"),
      silent("cas with a wrong number", "cas @a 0 0 1 18446744073709551615 noreply\r\nx\r\n", "10"),
      silent("verbosity", "verbosity 0 noreply\r\n", "10"),
      {"delete", {{"set @a 0 0 1\r\nx\r\ndelete @a noreply\r\nget @a\r\n", "STORED\r\nEND\r\n"}}},
      {"delete with the old argument 0",
       {{"set @a 0 0 1\r\nx\r\ndelete @a 0 noreply\r\nget @a\r\n", "STORED\r\nEND\r\n"}}},
      {"add and replace of what is not there",
       {{"replace @a 0 0 1 noreply\r\nx\r\nget @a\r\nadd @a 0 0 1 noreply\r\ny\r\nget @a\r\n",
         "END\r\nVALUE @a 0 1\r\ny\r\nEND\r\n"}}},
      {"a cas that succeeds",
       {{"set @a 0 0 1 noreply\r\nx\r\ngets @a\r\n", "VALUE @a 0 1 $1\r\nx\r\nEND\r\n"},
        {"cas @a 0 0 1 $1 noreply\r\ny\r\nget @a\r\n", "VALUE @a 0 1\r\ny\r\nEND\r\n"}}},
      {"noreply is the last word or none", {{"set @a 0 0 1\r\nx\r\ndelete @a noreply 0\r\n", "STORED\r\n$*\r\n"}}},
      {"500 in a row",
       {{repeat("set @a 0 0 2 noreply\r\nhi\r\n", 499) + "set @a 0 0 3\r\nend\r\nget @a\r\n",
         "STORED\r\nVALUE @a 0 3\r\nend\r\nEND\r\n"}}},
  };
}

}  // namespace

TEST_SUITE("noreply") {
  TEST_CASE("silence") {
    const server_process server;
    play(server, silence());
  }

  TEST_CASE("flush_all in silence") {
    const server_process server;
    const std::vector<conversation> table{{"flush_all", {{"flush_all noreply\r\n", ""}}}};
    play(server, table);
  }
}

}  // namespace contract
