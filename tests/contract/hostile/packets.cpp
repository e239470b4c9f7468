// Hostile clients that speak in packets: those whose values are refused, whose headers lie, and who leave half-way; and
// the server must keep its place in the stream, or close.
#include <doctest/doctest.h>
#include <sched.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/conversation.h"
#include "tests/contract/harness/packets.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

using namespace packets;

std::vector<dialogue> values_refused(status why, std::size_t size) {
  const std::string value = repeat(encode(bare(quit)), size / 24 + 1);
  return {
      {"set", {{update(set, value), refused(why)}, {keyed(get), refused(not_found)}}},
      {"add and its quiet form", {{update(add, value), refused(why)}, {update(addq, value), refused(why)}}},
      {"setq", {{update(setq, value), refused(why)}}},
      {"append", {{join(append, value), refused(why)}}},
  };
}

// ---- bodies that do not fit their opcode ----

enum class has { none, maybe, one };

struct shape {
  std::vector<opcode> ops;
  std::size_t extlen;
  has key;
  has value;
};

const std::vector<shape> shapes{
    {{get, getq, getk, getkq, remove, removeq}, 0, has::one, has::none},
    {{set, setq, add, addq, replace, replaceq}, 8, has::one, has::maybe},
    {{append, appendq, prepend, prependq}, 0, has::one, has::maybe},
    {{increment, incrementq, decrement, decrementq}, 20, has::one, has::none},
    {{touch, gat, gatq, gatk, gatkq}, 4, has::one, has::maybe},
    {{quit, quitq, noop, version, sasl_list_mechs}, 0, has::none, has::none},
    {{flush, flushq}, 4, has::none, has::none},
    {{stat}, 0, has::maybe, has::maybe},
    {{sasl_auth, sasl_step}, 0, has::one, has::maybe},
};

dialogue misfit(opcode op, const std::string& what, std::size_t extlen, std::size_t keylen, std::size_t valuelen) {
  const std::string name = "opcode " + std::to_string(static_cast<unsigned>(op)) + " " + what;
  const request r{.op = op,
                  .extras = std::string(extlen, '\0'),
                  .key = std::string(keylen, 'k'),
                  .value = std::string(valuelen, 'v')};
  return {name, {{r, refused(invalid)}}, closed};
}

std::vector<dialogue> misfits() {
  std::vector<dialogue> table;
  for (const shape& s : shapes) {
    for (const opcode op : s.ops) {
      const std::size_t key = s.key == has::none ? 0 : 3;
      table.push_back(misfit(op, "with a byte too much of extras", s.extlen + 1, key, 0));
      if (s.extlen > 0) table.push_back(misfit(op, "with a byte too little of extras", s.extlen - 1, key, 0));
      if (s.extlen > 4) table.push_back(misfit(op, "without extras", 0, key, 0));
      if (s.key == has::none) table.push_back(misfit(op, "with a key", s.extlen, 3, 0));
      if (s.key == has::one) table.push_back(misfit(op, "without a key", s.extlen, 0, 0));
      if (s.value == has::none) table.push_back(misfit(op, "with a value", s.extlen, key, 3));
      if (s.key != has::none) table.push_back(misfit(op, "with a key of 251 bytes", s.extlen, 251, 0));
    }
  }
  return table;
}

// 1.4.25 reads the value as the next packet.
std::vector<dialogue> values_where_none_belongs() {
  std::vector<dialogue> table;
  for (const opcode op : {touch, gat, gatq, gatk, gatkq}) table.push_back(misfit(op, "with a value", 4, 3, 3));
  table.push_back(misfit(stat, "with a value", 0, 5, 3));
  return table;
}

std::vector<dialogue> lies() {
  request shorter_than_key = keyed(get);
  shorter_than_key.bodylen = 6;
  request shorter_than_extras = update(set, "");
  shorter_than_extras.bodylen = 7;
  return {
      {"a body shorter than its key", {{shorter_than_key, refused(unknown)}}, closed},
      {"a body shorter than its extras", {{shorter_than_extras, refused(unknown)}}, closed},
  };
}

// memcached 1.6 waits for extras and key of whatever command before it looks at it, then forgets that it has had them;
// and answers that are ready when a packet makes no sense are never sent.
std::vector<dialogue> unlike_1_6() {
  const request with_body{.op = opcode{0x55}, .extras = "12", .key = "@a", .value = std::string(300, '\x80')};
  request long_key = bare(opcode{0x55});
  long_key.keylen = 65'535;
  long_key.bodylen = 65'535;
  request reply_as_request = keyed(get);
  reply_as_request.magic = 0x81;
  request no_magic = keyed(get);
  no_magic.magic = 'g';
  return {
      {"the body of an unknown command goes by",
       {{with_body, refused(unknown)},
        {{.op = verbosity, .extras = u32(1)}, refused(unknown)},
        {with_body, refused(unknown)}}},
      {"a key of 65,535 bytes, of whatever command", {{long_key, refused(invalid)}}, closed},
      {"a reply is no request",
       {{update(set, "x"), done()}, {reply_as_request, nothing}, {keyed(get), nothing}},
       closed},
      {"lines on a connection of packets", {{update(set, "x"), done()}, {no_magic, nothing}}, closed},
  };
}

}  // namespace

TEST_SUITE("binary") {
  TEST_CASE("packets: values that are too large") {
    const server_process server;
    play(server, values_refused(too_large, 1'100'000));
    client c{server};
    REQUIRE(ask(c, {.op = set, .extras = u64(0), .key = "a", .value = "old"}).status() == 0);
    REQUIRE(ask(c, {.op = append, .key = "a", .value = std::string(1'100'000, 'x')}).status() == too_large.number);
    CHECK(ask(c, {.op = get, .key = "a"}).value() == "old");
    const packet answer = ask(c, {.op = set, .extras = u64(0), .key = "a", .value = std::string(1'100'000, 'x')});
    REQUIRE(answer.status() == too_large.number);
    CHECK(ask(c, {.op = get, .key = "a"}).status() == not_found.number);
  }

  TEST_CASE("packets: values for which there is no memory") {
    const server_process server{{"-M", "-m", "8"}};
    client c{server};
    const std::string value(10'000, 'x');
    std::uint64_t answer = 0;
    for (int i = 0; i < 2'000 && answer == 0; ++i) {
      answer = ask(c, {.op = set, .extras = u64(0), .key = "key" + std::to_string(i), .value = value}).status();
    }
    REQUIRE(answer == no_memory.number);
    play(server, values_refused(no_memory, 10'000));
  }

  TEST_CASE("packets: bodies that do not fit the command") {
    const server_process server;
    play(server, misfits());
    play(server, lies());
  }

  TEST_CASE("packets: where we keep our place and memcached does not") {
    const server_process server;
    play(server, values_where_none_belongs());
    play(server, unlike_1_6());
  }

  TEST_CASE("packets: a length that no client will ever deliver") {
    const server_process server;
    const std::size_t before = server.rss_bytes();
    client c{server};
    request endless = update(set, "");
    endless.bodylen = 0xffffffff;
    CHECK(ask(c, endless).status() == too_large.number);
    for (int i = 0; i < 50; ++i) c.send(std::string(1'000'000, 'x'));
    c.wait_until_consumed();
    CHECK(server.rss_bytes() < before + 16 * 1024 * 1024);
    CHECK(client{server}.ask("version").starts_with("VERSION "));
  }

  TEST_CASE("hostile: leaving at every byte of a packet") {
    const server_process server{{"-t", "1"}};
    client witness{server};
    REQUIRE(ask(witness, {.op = set, .extras = u64(0), .key = "a", .value = "old"}).status() == 0);
    const std::size_t before = server.open_fds();
    const std::string conversation =
        encode({.op = getk, .key = "a"}) + encode({.op = replace, .extras = u64(0), .key = "b", .value = "value"}) +
        encode({.op = increment, .extras = u64(1) + u64(1) + u32(create_nothing), .key = "a"});
    for (std::size_t n = 0; n <= conversation.size(); ++n) {
      client c{server};
      c.send(conversation.substr(0, n));
      c.wait_until_consumed();
      c.reset();
    }
    const auto end = std::chrono::steady_clock::now() + under_test().deadline;
    while (server.open_fds() != before && std::chrono::steady_clock::now() < end) ::sched_yield();
    CHECK(server.open_fds() == before);
    CHECK(ask(witness, {.op = get, .key = "a"}).value() == "old");
  }

  // Most are right, so that those which are not come upon a connection in the middle of something.
  TEST_CASE("hostile: random packets") {
    const server_process server;
    for (unsigned seed = 1; seed <= 400; ++seed) {
      CAPTURE(seed);
      std::mt19937 random{seed};
      const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
      std::string bytes;
      while (bytes.size() < 4'096) {
        const shape& s = shapes[below(shapes.size())];
        request r = bare(s.ops[below(s.ops.size())]);
        r.extras = std::string(s.extlen, static_cast<char>(below(3)));
        if (s.key != has::none) r.key = std::string(1 + below(3), static_cast<char>('a' + below(2)));
        if (s.value == has::maybe) r.value = std::string(below(50), static_cast<char>(below(256)));
        if (below(40) == 0) r.op = static_cast<opcode>(below(256));
        if (below(40) == 0) r.bodylen = static_cast<std::uint32_t>(random() >> below(32));
        if (below(80) == 0) r.keylen = static_cast<std::uint16_t>(random());
        if (below(80) == 0) r.magic = static_cast<std::uint8_t>(random());
        bytes += encode(r, below(1'000), below(4) == 0 ? below(10) : 0);
      }
      client c{server};
      c.send(bytes);
      c.half_close();
      static_cast<void>(c.receive_rest());
      REQUIRE(client{server}.ask("version").starts_with("VERSION "));
    }
  }
}

}  // namespace contract
