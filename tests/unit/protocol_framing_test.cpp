// common/protocol/framing.h: how far a request and a reply go.
#include "common/protocol/framing.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace std::string_literals;
using protocol::frame_reply;
using protocol::frame_request;
using protocol::request_frame;
using protocol::request_kind;

TEST_CASE("a get names keys and has no value") {
  for (const auto* line : {"get a", "get a b c", "gets a"}) {
    const request_frame f = frame_request(line);
    CHECK(f.kind == request_kind::retrieval);
    CHECK(f.key == "a");
    CHECK(f.value_bytes == 0);
    CHECK(!f.noreply);
    CHECK(f.refusal.empty());
  }
  CHECK(frame_request("get").key.empty());
  for (const auto* line : {"gat 10 a b", "gats 10 a  b"}) {
    const request_frame f = frame_request(line);
    CHECK(f.kind == request_kind::retrieval);
    CHECK(f.key == "a");
    CHECK(f.many_keys);
    CHECK(f.keys == std::string_view(line).substr(std::string_view(line).find('a', 4)));
  }
  CHECK(frame_request("get a b c").keys == "a b c");
  CHECK(frame_request("get a b").many_keys);
  CHECK(!frame_request("get a ").many_keys);
  CHECK(!frame_request("get noreply").noreply);
}

TEST_CASE("a storage command says how many bytes follow") {
  for (const auto* command : {"set", "add", "replace", "append", "prepend"}) {
    const std::string line = command + " k 1 -1 10"s;
    const request_frame f = frame_request(line);
    CHECK(f.kind == request_kind::keyed);
    CHECK(f.command == command);
    CHECK(f.key == "k");
    CHECK(f.value_bytes == 12);
    CHECK(!f.noreply);
    CHECK(f.refusal.empty());
    CHECK(frame_request(command + " k 0 0 0 noreply"s).noreply);
    CHECK(frame_request(command + " k 0 0 0 noreply"s).value_bytes == 2);
  }
  CHECK(frame_request("cas k 0 0 3 77").value_bytes == 5);
  CHECK(frame_request("cas k 0 0 3 77").refusal.empty());
  CHECK(frame_request("cas k 0 0 3 77 noreply").noreply);
}

TEST_CASE("noreply is a word at the end, and no key") {
  for (const auto* line : {"delete k noreply", "delete k 0 noreply", "incr k 1 noreply", "decr k 1 noreply",
                           "touch k 0 noreply", "flush_all noreply", "flush_all 1 noreply", "verbosity 1 noreply"}) {
    CAPTURE(line);
    CHECK(frame_request(line).noreply);
    CHECK(frame_request(line).refusal.empty());
  }
  for (const auto* line : {"delete noreply", "stats noreply", "incr noreply 1"}) {
    CAPTURE(line);
    CHECK(!frame_request(line).noreply);
    CHECK(frame_request(line).refusal.empty());
  }
}

// Servers are silent here, or answer, or take a number for a length: on a shared connection none of them must see it.
TEST_CASE("what servers do not agree about is refused") {
  const std::string long_key(251, 'k');
  for (const auto& line : {"touch k noreply"s,
                           "incr k noreply"s,
                           "set k 0 0 noreply"s,
                           "cas k 0 0 5 noreply"s,
                           "set k 0 0"s,
                           "set k x 0 5"s,
                           "set k 0 x 5"s,
                           "set k 0 0 5x"s,
                           "set k 0 0 +5"s,
                           "set k 0 0 -1"s,
                           "set k 0 0 5 6 7"s,
                           "cas k 0 0 5 x"s,
                           "set k 4294967296 0 5"s,
                           "set k 0 2147483648 5"s,
                           "set k 0 -2147483648 5"s,
                           "set k 0 0 99999999999999999999"s,
                           "set k 0 0 134217729"s,
                           "set " + long_key + " 0 0 5",
                           "delete " + long_key,
                           "delete k 0 0 0"s,
                           "touch k " + std::string(1015, '0'),
                           "ms k S5"s,
                           "watch"s,
                           "gat 0"s,
                           "get"s,
                           "version noreply"s,
                           "nonsense"s,
                           ""s,
                           "quit now"s}) {
    CAPTURE(line);
    CHECK(!frame_request(line).refusal.empty());
    CHECK(frame_request(line).refusal.ends_with("\r\n"));
  }
}

TEST_CASE("a refused value is thrown away where its length can be told; else nobody is in step") {
  CHECK(frame_request("set k 0 0 134217729").value_bytes == 134'217'731);
  CHECK(frame_request("set k 0 0 134217728").refusal.empty());
  for (const auto& line :
       {"set k x 0 5"s, "set k 0 x 5 noreply"s, "cas k 0 0 5 x"s, "set " + std::string(251, 'k') + " 0 0 5"}) {
    CAPTURE(line);
    CHECK(frame_request(line).value_bytes == 7);
    CHECK(!frame_request(line).refusal.empty());
    CHECK(!frame_request(line).out_of_step);
  }
  for (const auto* line : {"set k 0 0", "set k 0 0 x", "set k 0 0 -1", "set a b 0 0 5", "set k 0 0 5 6 7",
                           "set k 0 0 2147483647", "ms k 5", "nonsense", ""}) {
    CAPTURE(line);
    CHECK(!frame_request(line).refusal.empty());
    CHECK(frame_request(line).out_of_step);
  }
  for (const auto* line : {"get", "gat 0", "delete", "incr k", "version foo", "flush_all 1 2 3"}) {
    CAPTURE(line);
    CHECK(!frame_request(line).refusal.empty());
    CHECK(!frame_request(line).out_of_step);
  }
  CHECK(frame_request("set " + std::string(250, 'k') + " 0 0 5").refusal.empty());
}

TEST_CASE("what has no end is no line, unless it may be a long get") {
  CHECK(!protocol::too_long(std::string(1022, 'x')));
  CHECK(protocol::too_long(std::string(1023, 'x')));
  CHECK(!protocol::too_long("get " + std::string(1'000'000, 'x')));
  CHECK(protocol::too_long("get " + std::string(1 << 20, 'x')));
  CHECK(!protocol::too_long(std::string(100, ' ') + "gets " + std::string(3000, 'x')));
  CHECK(protocol::too_long(std::string(101, ' ') + "gets " + std::string(3000, 'x')));
  CHECK(protocol::too_long("getting " + std::string(3000, 'x')));
  CHECK(protocol::too_long(std::string(3000, ' ')));
}

TEST_CASE("general requests and quit") {
  for (const auto* line : {"stats", "stats items", "stats detail on", "flush_all", "verbosity 1"}) {
    CAPTURE(line);
    CHECK(frame_request(line).kind == request_kind::general);
    CHECK(frame_request(line).refusal.empty());
  }
  CHECK(frame_request("version").kind == request_kind::local);
  CHECK(frame_request("quit").kind == request_kind::quit);
}

TEST_CASE("a reply is a line, or lines up to END") {
  for (const auto* line : {"STORED", "END", "ERROR", "VERSION 1.4.25", "5", "SERVER_ERROR out of memory", "OK"}) {
    CAPTURE(line);
    CHECK(frame_reply(line).last);
    CHECK(frame_reply(line).valid);
    CHECK(!frame_reply(line).item);
  }
  for (const auto* line : {"STAT pid 1", "ITEM a [1 b; 0 s]", "PREFIX a get 1"}) {
    CAPTURE(line);
    CHECK(!frame_reply(line).last);
    CHECK(!frame_reply(line).item);
  }
  for (const auto* line : {"VALUE k 0 5", "VALUE k 0 5 77"}) {
    CAPTURE(line);
    CHECK(!frame_reply(line).last);
    CHECK(frame_reply(line).item);
    CHECK(frame_reply(line).value_bytes == 7);
    CHECK(frame_reply(line).valid);
  }
  for (const auto* line : {"", "ENDD", "hello world", "5x", "-5", "stored", " END", "VALUEK 0 5", "VALUE k 0"}) {
    CAPTURE(line);
    CHECK(!frame_reply(line).valid);
  }
  CHECK(!frame_reply("VALUE k 0 -5").valid);
  CHECK(!frame_reply("VALUE k 0 18446744073709551615").valid);
}
