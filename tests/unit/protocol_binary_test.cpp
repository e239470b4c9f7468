// common/protocol/binary.h: every command of the binary protocol, byte for byte.
#include "common/protocol/binary.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "common/protocol/version.h"

using namespace std::string_literals;
using namespace std::string_view_literals;
using protocol::binary_opcode;
using protocol::binary_outcome;
using protocol::binary_request_header;
using protocol::command_stats;
using protocol::environment;
using enum protocol::binary_opcode;

namespace {

// A number as it goes over the wire, in so many bytes.
std::string wire(std::uint64_t number, std::size_t size) {
  std::string bytes(size, '\0');
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte, number >>= 8) *byte = static_cast<char>(number);
  return bytes;
}

constexpr std::uint32_t some_opaque = 0xfeedbeef;

// What a packet holds besides its opcode.
struct content {
  std::string extras = {};
  std::string key = {};
  std::string value = {};
  std::uint64_t cas = 0;
  std::uint16_t status = 0;  // of a reply
};

std::string packet(unsigned char magic, binary_opcode opcode, const content& c) {
  const auto bodylen = c.extras.size() + c.key.size() + c.value.size();
  return wire(magic, 1) + wire(static_cast<std::uint64_t>(opcode), 1) + wire(c.key.size(), 2) +
         wire(c.extras.size(), 1) + wire(0, 1) + wire(c.status, 2) + wire(bodylen, 4) + wire(some_opaque, 4) +
         wire(c.cas, 8) + c.extras + c.key + c.value;
}

std::string request(binary_opcode opcode, const content& c = {}) { return packet(0x80, opcode, c); }
std::string reply(binary_opcode opcode, const content& c = {}) { return packet(0x81, opcode, c); }

std::string not_found(binary_opcode opcode) { return reply(opcode, {.value = "Not found", .status = 1}); }
std::string exists(binary_opcode opcode) { return reply(opcode, {.value = "Data exists for key.", .status = 2}); }
std::string too_large(binary_opcode opcode) { return reply(opcode, {.value = "Too large.", .status = 3}); }
std::string invalid(binary_opcode opcode) { return reply(opcode, {.value = "Invalid arguments", .status = 4}); }
std::string not_stored(binary_opcode opcode) { return reply(opcode, {.value = "Not stored.", .status = 5}); }
std::string unknown(binary_opcode opcode) { return reply(opcode, {.value = "Unknown command", .status = 0x81}); }

std::string flags(std::uint32_t number) { return wire(number, 4); }
std::string exptime(std::uint32_t seconds) { return wire(seconds, 4); }

content storing(std::string key, std::string value, std::uint64_t cas = 0) {
  return {.extras = flags(7) + exptime(0), .key = std::move(key), .value = std::move(value), .cas = cas};
}

constexpr std::uint32_t do_not_create = 0xffffffff;

content counting(std::uint64_t delta, std::uint64_t initial, std::uint32_t seconds, std::uint64_t cas = 0) {
  return {.extras = wire(delta, 8) + wire(initial, 8) + exptime(seconds), .key = "n", .cas = cas};
}

// A connection without a socket: bytes in, reply bytes out. What is incomplete waits for the next bytes.
class session {
 public:
  explicit session(environment& env) : env_(env) {}

  std::string send(std::string_view bytes) {
    input_ += bytes;
    std::string replies;
    while (!closed_ && step(replies)) {
    }
    return replies;
  }

  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool in_step() const { return input_.empty() && !header_ && swallow_ == 0; }
  [[nodiscard]] const binary_outcome& last() const { return out_; }

 private:
  // False: more bytes are needed.
  bool step(std::string& replies) {
    if (swallow_ != 0) {
      swallow_ -= take(std::min(swallow_, input_.size())).size();
      return swallow_ == 0;
    }
    if (item_) return step_value(replies);
    if (header_) return step_body(replies);
    return step_header(replies);
  }

  bool step_header(std::string& replies) {
    if (input_.size() < protocol::binary_header_size) return false;
    const std::string bytes = take(protocol::binary_header_size);
    header_ = protocol::decode_binary_header(
        std::span<const char, protocol::binary_header_size>(bytes.data(), protocol::binary_header_size));
    if (!header_) {
      closed_ = true;
    } else if (!protocol::check_binary_request(*header_, out_)) {
      act(replies);
    }
    return true;
  }

  bool step_body(std::string& replies) {
    if (input_.size() < header_->extras_and_key_size()) return false;
    const std::string bytes = take(header_->extras_and_key_size());
    protocol::process_binary_request(env_, *header_, bytes, out_);
    act(replies);
    return true;
  }

  bool step_value(std::string& replies) {
    const auto size = std::as_const(*item_).value().size();
    if (input_.size() < size) return false;
    std::ranges::copy(take(size), item_->data().begin());
    protocol::complete_binary_value(env_, *header_, std::move(item_), mode_, cas_, out_);
    act(replies);
    return true;
  }

  void act(std::string& replies) {
    const auto header = std::exchange(header_, std::nullopt);
    switch (out_.what) {
      case binary_outcome::kind::reply_packet: replies += out_.packet; break;
      case binary_outcome::kind::reply_text: replies += out_.text; break;
      case binary_outcome::kind::send_item:
        replies += out_.packet;
        if (out_.with_key) replies += out_.item->key();
        replies += out_.item->value();
        break;
      case binary_outcome::kind::want_value:
        header_ = header;
        item_ = std::move(out_.item);
        mode_ = out_.mode;
        cas_ = out_.cas;
        break;
      case binary_outcome::kind::skip_value:
        replies += out_.packet;
        swallow_ = out_.swallow_bytes;
        break;
      case binary_outcome::kind::nothing: break;
      case binary_outcome::kind::hang_up:
        replies += out_.packet;
        closed_ = true;
        break;
    }
  }

  std::string take(std::size_t n) {
    const std::string bytes = input_.substr(0, n);
    input_.erase(0, n);
    return bytes;
  }

  environment& env_;
  std::string input_;
  binary_outcome out_;
  std::optional<binary_request_header> header_;
  storage::item_ref item_;
  storage::store_mode mode_{};
  std::uint64_t cas_ = 0;
  std::size_t swallow_ = 0;
  bool closed_ = false;
};

constexpr std::int64_t start_time = 1'500'000'000;

// A server with one connection.
struct server {
  explicit server(const storage::options& options = {}) : store(options) { store.set_time(start_time); }

  std::string operator()(binary_opcode opcode, const content& c = {}) { return client.send(request(opcode, c)); }

  void set(const std::string& key, const std::string& value) { client.send(request(cmd_setq, storing(key, value))); }

  std::uint64_t cas_of(std::string_view key) {
    const auto it = store.get(key);
    REQUIRE(it);
    return it->cas;
  }

  std::optional<std::string> value_of(std::string_view key) {
    const auto it = store.get(key);
    if (!it) return std::nullopt;
    return std::string(it->value());
  }

  std::map<std::string, std::string> counted() const {
    std::map<std::string, std::string> all;
    commands.add_stats([&](std::string_view name, std::string_view value) {
      if (value != "0") all.emplace(name, value);
    });
    return all;
  }

  storage::store store;
  command_stats commands;
  environment env{.store = store, .commands = commands, .set_verbosity = {}, .process_stats = {}};
  session client{env};
};

storage::options small_items() {
  storage::options options;
  options.item_size_max = 4096;
  return options;
}

// All memory is taken, and none may be taken back.
struct full_server : server {
  full_server() : server(no_eviction()) {
    for (int i = 0; !full; ++i) full = (*this)(cmd_setq, storing("k" + std::to_string(i), "v")) != "";
  }
  static storage::options no_eviction() {
    storage::options options;
    options.item_size_max = 4096;
    options.memory_limit = 4096;
    options.evict = false;
    return options;
  }
  bool full = false;
};

std::string key_of(std::size_t length) { return std::string(length, 'k'); }

}  // namespace

TEST_CASE("decode_binary_header") {
  const auto decode = [](const std::string& bytes) {
    return protocol::decode_binary_header(std::span<const char, 24>(bytes.data(), 24));
  };
  const auto header =
      decode("\x80\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x97"s);
  REQUIRE(header);
  CHECK(header->opcode == cmd_set);
  CHECK(header->keylen == 0x0203);
  CHECK(header->extlen == 0x04);
  CHECK(header->data_type == 0x05);
  CHECK(header->vbucket == 0x0607);
  CHECK(header->bodylen == 0x08090a0b);
  CHECK(header->opaque == 0x0c0d0e0f);
  CHECK(header->cas == 0x1011121314151697);
  CHECK(header->extras_and_key_size() == 0x0207);
  CHECK(header->value_size() == 0x08090a0b - 0x0207);
  for (const std::uint64_t magic : {0x00u, 0x67u, 0x7fu, 0x81u, 0xffu}) {
    CHECK_FALSE(decode(wire(magic, 1) + std::string(23, '\0')));
  }
}

TEST_CASE("the bytes of the examples in the protocol's description") {
  server s;
  CHECK(s.client.send("\x80\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                      "Hello"sv) ==
        "\x81\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        "Not found"sv);
  CHECK(s.client.send("\x80\x02\x00\x05\x08\x00\x00\x00\x00\x00\x00\x12\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                      "\xde\xad\xbe\xef\x00\x00\x0e\x10HelloWorld"sv) ==
        "\x81\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"sv);
  CHECK(s.client.send("\x80\x0c\x00\x05\x00\x00\x00\x00\x00\x00\x00\x05\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00"
                      "Hello"sv) ==
        "\x81\x0c\x00\x05\x04\x00\x00\x00\x00\x00\x00\x0e\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x01"
        "\xde\xad\xbe\xefHelloWorld"sv);
}

TEST_CASE("a stream that does not begin with a request is closed") {
  server s;
  CHECK(s.client.send("get a\r\n" + std::string(24, ' ')) == "");
  CHECK(s.client.closed());
}

TEST_CASE("get answers with flags, cas and value, getk with the key too") {
  server s;
  s.set("a", "xyz");
  const auto cas = s.cas_of("a");
  CHECK(s(cmd_get, {.key = "a"}) == reply(cmd_get, {.extras = flags(7), .value = "xyz", .cas = cas}));
  CHECK(s(cmd_getq, {.key = "a"}) == reply(cmd_getq, {.extras = flags(7), .value = "xyz", .cas = cas}));
  CHECK(s(cmd_getk, {.key = "a"}) == reply(cmd_getk, {.extras = flags(7), .key = "a", .value = "xyz", .cas = cas}));
  CHECK(s(cmd_getkq, {.key = "a"}) == reply(cmd_getkq, {.extras = flags(7), .key = "a", .value = "xyz", .cas = cas}));
  CHECK(s.client.in_step());
}

TEST_CASE("a get that misses says so, a quiet one says nothing, and getk gives the key back") {
  server s;
  CHECK(s(cmd_get, {.key = "a"}) == not_found(cmd_get));
  CHECK(s(cmd_getk, {.key = "a"}) == reply(cmd_getk, {.key = "a", .status = 1}));
  CHECK(s(cmd_getk, {.key = key_of(250)}) == reply(cmd_getk, {.key = key_of(250), .status = 1}));
  CHECK(s(cmd_getq, {.key = "a"}) == "");
  CHECK(s(cmd_getkq, {.key = "a"}) == "");
  CHECK(s.client.in_step());
}

TEST_CASE("a value may be empty, and a key may be any bytes") {
  server s;
  const auto odd_key = "a b\r\n\0\xff"s;
  s.set("empty", "");
  s.set(odd_key, "\r\n\r\n");
  CHECK(s(cmd_get, {.key = "empty"}) == reply(cmd_get, {.extras = flags(7), .cas = s.cas_of("empty")}));
  CHECK(s(cmd_get, {.key = odd_key}) ==
        reply(cmd_get, {.extras = flags(7), .value = "\r\n\r\n", .cas = s.cas_of(odd_key)}));
}

TEST_CASE("set, add and replace store, and answer with the new cas number") {
  server s;
  CHECK(s(cmd_set, storing("a", "1")) == reply(cmd_set, {.cas = 1}));
  CHECK(s(cmd_set, storing("a", "2")) == reply(cmd_set, {.cas = 2}));
  CHECK(s(cmd_replace, storing("a", "3")) == reply(cmd_replace, {.cas = 3}));
  CHECK(s(cmd_add, storing("b", "4")) == reply(cmd_add, {.cas = 4}));
  CHECK(s.value_of("a") == "3");
  CHECK(s.value_of("b") == "4");
  CHECK(s.store.get("a")->data().back() == '\n');
}

TEST_CASE("set, add and replace that do not store say why, quiet or not") {
  server s;
  s.set("a", "1");
  for (const auto add : {cmd_add, cmd_addq}) CHECK(s(add, storing("a", "2")) == exists(add));
  for (const auto replace : {cmd_replace, cmd_replaceq}) CHECK(s(replace, storing("b", "2")) == not_found(replace));
  CHECK(s.value_of("a") == "1");
  CHECK(s.value_of("b") == std::nullopt);
  CHECK(s.client.in_step());
}

TEST_CASE("setq, addq and replaceq store in silence") {
  server s;
  CHECK(s(cmd_setq, storing("a", "1")) == "");
  CHECK(s(cmd_addq, storing("b", "2")) == "");
  CHECK(s(cmd_replaceq, storing("b", "3")) == "");
  CHECK(s.value_of("a") == "1");
  CHECK(s.value_of("b") == "3");
}

TEST_CASE("with a cas number, set, add and replace are a cas") {
  server s;
  for (const auto opcode : {cmd_set, cmd_add, cmd_replace, cmd_setq, cmd_addq, cmd_replaceq}) {
    CAPTURE(static_cast<int>(opcode));
    s.set("a", "old");
    const auto cas = s.cas_of("a");
    CHECK(s(opcode, storing("a", "new", cas + 1)) == exists(opcode));
    CHECK(s(opcode, storing("none", "new", cas)) == not_found(opcode));
    CHECK(s.value_of("a") == "old");
    const bool quiet = opcode == cmd_setq || opcode == cmd_addq || opcode == cmd_replaceq;
    CHECK(s(opcode, storing("a", "new", cas)) == (quiet ? "" : reply(opcode, {.cas = cas + 1})));
    CHECK(s.value_of("a") == "new");
  }
  CHECK(s.counted()["cas_hits"] == "6");
  CHECK(s.counted()["cas_badval"] == "6");
  CHECK(s.counted()["cas_misses"] == "6");
}

TEST_CASE("expiry times: relative up to 30 days, absolute beyond, and none is negative") {
  server s;
  const auto set_until = [&](const std::string& key, std::uint32_t seconds) {
    s(cmd_set, {.extras = flags(0) + exptime(seconds), .key = key, .value = "x"});
  };
  set_until("relative", 100);
  set_until("absolute", static_cast<std::uint32_t>(start_time + 200));
  set_until("past", 2'592'001);
  set_until("latest", 0xffffffff);
  CHECK(s.value_of("past") == std::nullopt);
  s.store.set_time(start_time + 100);
  CHECK(s.value_of("relative") == std::nullopt);
  CHECK(s.value_of("absolute") == "x");
  s.store.set_time(start_time + 200);
  CHECK(s.value_of("absolute") == std::nullopt);
  CHECK(s.value_of("latest") == "x");
}

TEST_CASE("append and prepend") {
  server s;
  s.set("a", "b");
  CHECK(s(cmd_append, {.key = "a", .value = "cd"}) == reply(cmd_append, {.cas = 2}));
  CHECK(s(cmd_prepend, {.key = "a", .value = "a"}) == reply(cmd_prepend, {.cas = 3}));
  CHECK(s(cmd_appendq, {.key = "a", .value = "e"}) == "");
  CHECK(s(cmd_prependq, {.key = "a", .value = "_"}) == "");
  CHECK(s(cmd_get, {.key = "a"}) == reply(cmd_get, {.extras = flags(7), .value = "_abcde", .cas = 5}));
  for (const auto opcode : {cmd_append, cmd_prepend, cmd_appendq, cmd_prependq}) {
    CHECK(s(opcode, {.key = "none", .value = "x"}) == not_stored(opcode));
    CHECK(s(opcode, {.key = "a", .value = "x", .cas = 4}) == exists(opcode));
  }
  CHECK(s(cmd_append, {.key = "a", .value = "f", .cas = 5}) == reply(cmd_append, {.cas = 6}));
  CHECK(s.value_of("a") == "_abcdef");
  CHECK(s.counted().count("cas_badval") == 0);
  CHECK(s.client.in_step());
}

TEST_CASE("an append that makes the value too large is not stored") {
  server s(small_items());
  s.set("a", std::string(3000, 'x'));
  CHECK(s(cmd_append, {.key = "a", .value = std::string(2000, 'y')}) == not_stored(cmd_append));
  CHECK(s.value_of("a") == std::string(3000, 'x'));
}

TEST_CASE("delete") {
  server s;
  s.set("a", "1");
  s.set("b", "1");
  CHECK(s(cmd_delete, {.key = "a", .cas = s.cas_of("a") + 9}) == exists(cmd_delete));
  CHECK(s(cmd_deleteq, {.key = "b", .cas = s.cas_of("b") + 9}) == exists(cmd_deleteq));
  CHECK(s(cmd_delete, {.key = "a", .cas = s.cas_of("a")}) == reply(cmd_delete));
  CHECK(s(cmd_deleteq, {.key = "b"}) == "");
  CHECK(s.value_of("a") == std::nullopt);
  CHECK(s.value_of("b") == std::nullopt);
  CHECK(s(cmd_delete, {.key = "a"}) == not_found(cmd_delete));
  CHECK(s(cmd_deleteq, {.key = "a"}) == not_found(cmd_deleteq));
}

TEST_CASE("increment and decrement create the number they do not find") {
  server s;
  CHECK(s(cmd_increment, counting(5, 18446744073709551615u, 0)) ==
        reply(cmd_increment, {.value = wire(18446744073709551615u, 8), .cas = 1}));
  CHECK(s.value_of("n") == "18446744073709551615");
  CHECK(s(cmd_get, {.key = "n"}) == reply(cmd_get, {.extras = flags(0), .value = "18446744073709551615", .cas = 1}));
  s(cmd_delete, {.key = "n"});
  CHECK(s(cmd_decrement, counting(5, 0, 100)) == reply(cmd_decrement, {.value = wire(0, 8), .cas = 2}));
  CHECK(s.value_of("n") == "0");
  s.store.set_time(start_time + 100);
  CHECK(s.value_of("n") == std::nullopt);
  CHECK(s(cmd_incrementq, counting(5, 10, 0)) == "");
  CHECK(s.value_of("n") == "10");
  CHECK(s.counted().count("incr_misses") == 0);
  CHECK(s.counted().count("cmd_set") == 0);
}

TEST_CASE("increment and decrement do not create a number that expires at 0xffffffff") {
  server s;
  for (const auto opcode : {cmd_increment, cmd_incrementq, cmd_decrement, cmd_decrementq}) {
    CHECK(s(opcode, counting(1, 10, do_not_create)) == not_found(opcode));
  }
  CHECK(s.value_of("n") == std::nullopt);
  CHECK(s.counted()["incr_misses"] == "2");
  CHECK(s.counted()["decr_misses"] == "2");
}

TEST_CASE("increment wraps at 2^64, decrement stops at 0") {
  server s;
  s.set("n", "18446744073709551610");
  CHECK(s(cmd_increment, counting(5, 0, 0)) ==
        reply(cmd_increment, {.value = wire(18446744073709551615u, 8), .cas = 2}));
  CHECK(s(cmd_increment, counting(3, 0, 0)) == reply(cmd_increment, {.value = wire(2, 8), .cas = 3}));
  CHECK(s(cmd_decrement, counting(1, 0, 0)) == reply(cmd_decrement, {.value = wire(1, 8), .cas = 4}));
  CHECK(s(cmd_decrement, counting(18446744073709551615u, 0, 0)) ==
        reply(cmd_decrement, {.value = wire(0, 8), .cas = 5}));
  CHECK(s(cmd_incrementq, counting(12, 0, do_not_create)) == "");
  CHECK(s(cmd_decrementq, counting(2, 0, do_not_create)) == "");
  CHECK(s.value_of("n") == "10                  ");
  CHECK(s.counted()["incr_hits"] == "3");
  CHECK(s.counted()["decr_hits"] == "3");
}

TEST_CASE("increment and decrement compare the cas number, and want a number") {
  server s;
  s.set("n", "1");
  CHECK(s(cmd_increment, counting(1, 0, 0, 9)) == exists(cmd_increment));
  CHECK(s(cmd_decrementq, counting(1, 0, 0, 9)) == exists(cmd_decrementq));
  CHECK(s(cmd_increment, counting(1, 0, 0, 1)) == reply(cmd_increment, {.value = wire(2, 8), .cas = 2}));
  s.set("n", "x");
  for (const auto opcode : {cmd_increment, cmd_incrementq, cmd_decrement, cmd_decrementq}) {
    CHECK(s(opcode, counting(1, 0, 0)) ==
          reply(opcode, {.value = "Non-numeric server-side value for incr or decr", .status = 6}));
  }
}

TEST_CASE("touch answers with the flags, gat with the value, gatk with the key too") {
  server s;
  s.set("a", "xyz");
  CHECK(s(cmd_touch, {.extras = exptime(100), .key = "a"}) == reply(cmd_touch, {.extras = flags(7), .cas = 1}));
  const content value{.extras = flags(7), .value = "xyz", .cas = 1};
  const content key_and_value{.extras = flags(7), .key = "a", .value = "xyz", .cas = 1};
  CHECK(s(cmd_gat, {.extras = exptime(200), .key = "a"}) == reply(cmd_gat, value));
  CHECK(s(cmd_gatq, {.extras = exptime(300), .key = "a"}) == reply(cmd_gatq, value));
  CHECK(s(cmd_gatk, {.extras = exptime(400), .key = "a"}) == reply(cmd_gatk, key_and_value));
  CHECK(s(cmd_gatkq, {.extras = exptime(500), .key = "a"}) == reply(cmd_gatkq, key_and_value));
  s.store.set_time(start_time + 499);
  CHECK(s.value_of("a") == "xyz");
  s.store.set_time(start_time + 500);
  CHECK(s.value_of("a") == std::nullopt);
}

TEST_CASE("touch and gat that miss") {
  server s;
  CHECK(s(cmd_touch, {.extras = exptime(0), .key = "a"}) == not_found(cmd_touch));
  CHECK(s(cmd_gat, {.extras = exptime(0), .key = "a"}) == not_found(cmd_gat));
  CHECK(s(cmd_gatk, {.extras = exptime(0), .key = "a"}) == reply(cmd_gatk, {.key = "a", .status = 1}));
  CHECK(s(cmd_gatq, {.extras = exptime(0), .key = "a"}) == "");
  CHECK(s(cmd_gatkq, {.extras = exptime(0), .key = "a"}) == "");
  CHECK(s.client.in_step());
}

TEST_CASE("flush, at once or later") {
  server s;
  s.set("a", "1");
  CHECK(s(cmd_flush) == reply(cmd_flush));
  CHECK(s.value_of("a") == std::nullopt);
  s.set("a", "1");
  CHECK(s(cmd_flushq) == "");
  CHECK(s.value_of("a") == std::nullopt);
  s.set("a", "1");
  CHECK(s(cmd_flush, {.extras = exptime(0)}) == reply(cmd_flush));
  CHECK(s.value_of("a") == std::nullopt);
  s.set("a", "1");
  CHECK(s(cmd_flushq, {.extras = exptime(10)}) == "");
  CHECK(s.value_of("a") == "1");
  s.store.set_time(start_time + 10);
  CHECK(s.value_of("a") == std::nullopt);
  CHECK(s.counted()["cmd_flush"] == "4");
}

TEST_CASE("flush may be forbidden, and is not counted then") {
  server s;
  s.env.flush_enabled = false;
  s.set("a", "1");
  for (const auto opcode : {cmd_flush, cmd_flushq}) {
    CHECK(s(opcode) == reply(opcode, {.value = "Auth failure.", .status = 0x20}));
  }
  CHECK(s.value_of("a") == "1");
  CHECK(s.counted().count("cmd_flush") == 0);
}

TEST_CASE("noop, version, quit") {
  server s;
  CHECK(s(cmd_noop) == reply(cmd_noop));
  CHECK(s(cmd_version) == reply(cmd_version, {.value = std::string(protocol::version)}));
  CHECK_FALSE(s.client.closed());
  CHECK(s(cmd_quit) == reply(cmd_quit));
  CHECK(s.client.closed());
  server quiet;
  CHECK(quiet(cmd_quitq) == "");
  CHECK(quiet.client.closed());
}

TEST_CASE("stat sends a packet for each statistic, and one without a name behind the last") {
  server s;
  std::vector<std::string> asked;
  s.env.process_stats = [&](std::string_view group, const add_stat& add) {
    asked.emplace_back(group);
    if (group != "" && group != "settings") return false;
    add("pid", "1");
    add("version", "1.4.25");
    return true;
  };
  const auto both = reply(cmd_stat, {.key = "pid", .value = "1"}) +
                    reply(cmd_stat, {.key = "version", .value = "1.4.25"}) + reply(cmd_stat);
  CHECK(s(cmd_stat) == both);
  CHECK(s(cmd_stat, {.key = "settings"}) == both);
  CHECK(s(cmd_stat, {.key = "foo"}) == not_found(cmd_stat));
  CHECK(asked == std::vector<std::string>{"", "settings", "foo"});
  CHECK(s.client.in_step());
}

TEST_CASE("stat items, sizes and slabs") {
  server s;
  for (const auto* group : {"items", "sizes", "slabs"}) CHECK(s(cmd_stat, {.key = group}).ends_with(reply(cmd_stat)));
  s.set("a", "1");
  CHECK(s(cmd_stat, {.key = "items"}).starts_with(reply(cmd_stat, {.key = "items:1:number", .value = "1"})));
  CHECK(s(cmd_stat, {.key = "slabs"}).find(reply(cmd_stat, {.key = "1:cmd_set", .value = "1"})) != std::string::npos);
}

TEST_CASE("stat reset") {
  server s;
  s(cmd_get, {.key = "a"});
  CHECK(s.counted()["get_misses"] == "1");
  CHECK(s(cmd_stat, {.key = "reset"}) == reply(cmd_stat));
  CHECK(s.counted().empty());
}

TEST_CASE("stat detail") {
  server s;
  const auto dump = [&s] { return s(cmd_stat, {.key = "detail dump"}); };
  const auto dumped = [](const std::string& text) {
    return reply(cmd_stat, {.key = "detailed", .value = text}) + reply(cmd_stat);
  };
  CHECK(dump() == dumped("END\r\n"));
  CHECK(s(cmd_stat, {.key = "detail on"}) == reply(cmd_stat));
  s.set("p:a", "1");
  s(cmd_get, {.key = "p:a"});
  s(cmd_gat, {.extras = exptime(0), .key = "p:b"});
  s(cmd_delete, {.key = "p:a"});
  CHECK(s(cmd_stat, {.key = "detail off"}) == reply(cmd_stat));
  s.set("p:a", "1");
  CHECK(dump() == dumped("PREFIX p get 2 hit 1 set 1 del 1\r\nEND\r\n"));
  CHECK(s(cmd_stat, {.key = "detail"}) == not_found(cmd_stat));
  CHECK(s(cmd_stat, {.key = "detail foo"}) == not_found(cmd_stat));
}

TEST_CASE("stat without memory for the reply") {
  server s;
  s.env.process_stats = [](std::string_view, const add_stat& add) -> bool {
    add("pid", "1");
    throw std::bad_alloc();
  };
  CHECK(s(cmd_stat) == reply(cmd_stat, {.value = "Out of memory generating stats", .status = 0x82}));
  CHECK(s.client.last().text.empty());
  CHECK_FALSE(s.client.closed());
}

TEST_CASE("a text nobody took is gone with the next request, and so is an item") {
  server s;
  s(cmd_stat, {.key = "reset"});
  CHECK_FALSE(s.client.last().text.empty());
  s(cmd_noop);
  CHECK(s.client.last().text.empty());
  s.set("a", "1");
  s(cmd_get, {.key = "a"});
  CHECK(s.client.last().item);
  s(cmd_noop);
  CHECK_FALSE(s.client.last().item);
}

TEST_CASE("an unknown opcode is refused, its body swallowed") {
  server s;
  std::vector<int> opcodes{0x1b, 0x1f};
  for (int i = 0x25; i <= 0xff; ++i) opcodes.push_back(i);
  for (const int i : opcodes) {
    CAPTURE(i);
    const auto opcode = static_cast<binary_opcode>(i);
    CHECK(s(opcode) == unknown(opcode));
    CHECK(s(opcode, {.extras = "1234", .key = "PLAIN", .value = request(cmd_quit)}) == unknown(opcode));
    CHECK(s.client.in_step());
    CHECK_FALSE(s.client.closed());
  }
}

TEST_CASE("SASL is unknown, but its lengths are looked at") {
  server s;
  CHECK(s(cmd_sasl_list_mechs) == unknown(cmd_sasl_list_mechs));
  for (const auto opcode : {cmd_sasl_auth, cmd_sasl_step}) {
    CHECK(s(opcode, {.key = "PLAIN"}) == unknown(opcode));
    CHECK(s(opcode, {.key = "PLAIN", .value = request(cmd_quit)}) == unknown(opcode));
  }
  CHECK(s.client.in_step());
  CHECK_FALSE(s.client.closed());
}

TEST_CASE("lengths that contradict each other: unknown command, and the connection ends") {
  for (const auto opcode : {cmd_get, cmd_set, cmd_noop, static_cast<binary_opcode>(0xee)}) {
    for (const auto& [keylen, extlen, bodylen] : {std::tuple{1, 0, 0}, {0, 1, 0}, {3, 8, 10}, {65535, 255, 0}}) {
      server s;
      auto bytes = request(opcode);
      bytes.replace(2, 2, wire(static_cast<std::uint64_t>(keylen), 2));
      bytes.replace(4, 1, wire(static_cast<std::uint64_t>(extlen), 1));
      bytes.replace(8, 4, wire(static_cast<std::uint64_t>(bodylen), 4));
      CHECK(s.client.send(bytes + std::string(100, 'x')) == unknown(opcode));
      CHECK(s.client.closed());
    }
  }
}

TEST_CASE("a body that does not suit the command: invalid arguments, and the connection ends") {
  const std::string four(4, '\0');
  const std::string eight(8, '\0');
  const std::string twenty(20, '\0');
  const auto refused = [](binary_opcode opcode, const content& c) {
    CAPTURE(static_cast<int>(opcode));
    server s;
    CHECK(s(opcode, c) == invalid(opcode));
    CHECK(s.client.closed());
  };
  for (const auto opcode : {cmd_get, cmd_getq, cmd_getk, cmd_getkq, cmd_delete, cmd_deleteq}) {
    refused(opcode, {});
    refused(opcode, {.extras = four, .key = "a"});
    refused(opcode, {.key = "a", .value = "x"});
  }
  for (const auto opcode : {cmd_set, cmd_setq, cmd_add, cmd_addq, cmd_replace, cmd_replaceq}) {
    refused(opcode, {});
    refused(opcode, {.key = "a", .value = "x"});
    refused(opcode, {.extras = four, .key = "a", .value = "x"});
    refused(opcode, {.extras = eight, .value = "x"});
  }
  for (const auto opcode : {cmd_append, cmd_appendq, cmd_prepend, cmd_prependq}) {
    refused(opcode, {.value = "x"});
    refused(opcode, {.extras = eight, .key = "a", .value = "x"});
  }
  for (const auto opcode : {cmd_increment, cmd_incrementq, cmd_decrement, cmd_decrementq}) {
    refused(opcode, {.extras = twenty});
    refused(opcode, {.extras = eight, .key = "n"});
    refused(opcode, {.extras = twenty, .key = "n", .value = "x"});
  }
  for (const auto opcode : {cmd_touch, cmd_gat, cmd_gatq, cmd_gatk, cmd_gatkq}) {
    refused(opcode, {.key = "a"});
    refused(opcode, {.extras = four});
    refused(opcode, {.extras = eight, .key = "a"});
    refused(opcode, {.extras = four, .key = "a", .value = "x"});
  }
  for (const auto opcode : {cmd_flush, cmd_flushq}) {
    refused(opcode, {.extras = "123"});
    refused(opcode, {.extras = eight});
    refused(opcode, {.key = "a"});
    refused(opcode, {.extras = four, .value = "x"});
  }
  for (const auto opcode : {cmd_noop, cmd_version, cmd_quit, cmd_quitq}) {
    refused(opcode, {.extras = four});
    refused(opcode, {.key = "a"});
    refused(opcode, {.value = "x"});
  }
  refused(cmd_sasl_list_mechs, {.key = "PLAIN"});
  for (const auto opcode : {cmd_sasl_auth, cmd_sasl_step}) {
    refused(opcode, {.value = "x"});
    refused(opcode, {.extras = four, .key = "PLAIN"});
  }
  refused(cmd_stat, {.extras = four, .key = "items"});
  refused(cmd_stat, {.key = "items", .value = "x"});
}

TEST_CASE("a key has at most 250 bytes, whatever the command") {
  const auto longest = key_of(250);
  server s;
  CHECK(s(cmd_set, storing(longest, "x")) == reply(cmd_set, {.cas = 1}));
  CHECK(s(cmd_getk, {.key = longest}) == reply(cmd_getk, {.extras = flags(7), .key = longest, .value = "x", .cas = 1}));
  for (const auto opcode : {cmd_get, cmd_setq, cmd_stat, cmd_noop, static_cast<binary_opcode>(0xee)}) {
    server other;
    CHECK(other(opcode, storing(key_of(251), "x")) == invalid(opcode));
    CHECK(other.client.closed());
  }
}

TEST_CASE("a value too large is swallowed") {
  server s(small_items());
  s.set("a", "old");
  s.set("b", "old");
  const std::string large(4096, 'x');
  for (const auto opcode : {cmd_add, cmd_addq, cmd_replace, cmd_replaceq}) {
    CHECK(s(opcode, storing("b", large)) == too_large(opcode));
  }
  for (const auto opcode : {cmd_append, cmd_appendq, cmd_prepend, cmd_prependq}) {
    CHECK(s(opcode, {.key = "b", .value = large}) == too_large(opcode));
  }
  CHECK(s.value_of("b") == "old");
  CHECK(s(cmd_set, storing("a", large)) == too_large(cmd_set));
  CHECK(s(cmd_setq, storing("b", large)) == too_large(cmd_setq));
  CHECK(s.value_of("a") == std::nullopt);
  CHECK(s.value_of("b") == std::nullopt);
  CHECK(s.client.in_step());
  CHECK(s(cmd_noop) == reply(cmd_noop));
}

TEST_CASE("the largest value that fits, and one byte more") {
  server s(small_items());
  std::size_t largest = 4096;
  while (largest > 0 && s(cmd_set, storing("a", std::string(largest, 'x'))) == too_large(cmd_set)) --largest;
  CHECK(largest > 3500);
  CHECK(s.value_of("a") == std::string(largest, 'x'));
}

TEST_CASE("a length of 4 GiB is only a number") {
  server s;
  auto bytes = request(cmd_set, storing("a", ""));
  bytes.replace(8, 4, wire(0xffffffff, 4));
  CHECK(s.client.send(bytes) == too_large(cmd_set));
  CHECK(s.client.last().swallow_bytes == 0xffffffff - 9);
  CHECK_FALSE(s.client.closed());
}

TEST_CASE("no memory: the value is swallowed, and the client is told") {
  full_server s;
  REQUIRE(s.full);
  const auto no_memory = [](binary_opcode opcode, const std::string& text) {
    return reply(opcode, {.value = text, .status = 0x82});
  };
  CHECK(s(cmd_set, storing("new", "v")) == no_memory(cmd_set, "Out of memory allocating item"));
  CHECK(s(cmd_appendq, {.key = "k0", .value = "v"}) == no_memory(cmd_appendq, "Out of memory allocating item"));
  CHECK(s(cmd_increment, counting(1, 1, 0)) == no_memory(cmd_increment, "Out of memory allocating new item"));
  CHECK(s.client.in_step());
  CHECK(s(cmd_setq, storing("k0", "9")) == no_memory(cmd_setq, "Out of memory allocating item"));
  CHECK(s.value_of("k0") == std::nullopt);
  CHECK(s(cmd_setq, storing("n", "9")) == "");
  CHECK(s(cmd_increment, counting(1, 1, 0)) == no_memory(cmd_increment, "Out of memory incrementing value"));
}

TEST_CASE("commands are counted") {
  server s;
  s.set("a", "1");
  s(cmd_get, {.key = "a"});
  s(cmd_getkq, {.key = "b"});
  s(cmd_touch, {.extras = exptime(0), .key = "a"});
  s(cmd_gat, {.extras = exptime(0), .key = "a"});
  s(cmd_gatq, {.extras = exptime(0), .key = "b"});
  s(cmd_append, {.key = "a", .value = "2"});
  s(cmd_append, {.key = "b", .value = "2"});
  s(cmd_delete, {.key = "a", .cas = 99});
  s(cmd_delete, {.key = "a"});
  s(cmd_delete, {.key = "a"});
  CHECK(s.counted() == std::map<std::string, std::string>{{"cmd_get", "2"},
                                                          {"get_hits", "1"},
                                                          {"get_misses", "1"},
                                                          {"cmd_set", "3"},
                                                          {"cmd_touch", "3"},
                                                          {"touch_hits", "2"},
                                                          {"touch_misses", "1"},
                                                          {"delete_hits", "1"},
                                                          {"delete_misses", "1"}});
}

TEST_CASE("the same replies however the bytes are cut") {
  const auto conversation = request(cmd_set, storing("a", "abc")) + request(cmd_getk, {.key = "a"}) +
                            request(cmd_set, storing("big", std::string(5000, 'x'))) +
                            request(static_cast<binary_opcode>(0x77), {.key = "k", .value = "v"}) +
                            request(cmd_getq, {.key = "none"}) + request(cmd_set, storing("e", "")) + request(cmd_noop);
  const auto replies =
      reply(cmd_set, {.cas = 1}) + reply(cmd_getk, {.extras = flags(7), .key = "a", .value = "abc", .cas = 1}) +
      too_large(cmd_set) + unknown(static_cast<binary_opcode>(0x77)) + reply(cmd_set, {.cas = 2}) + reply(cmd_noop);
  for (std::size_t piece = 1; piece < 100; ++piece) {
    server s(small_items());
    std::string all;
    for (std::size_t i = 0; i < conversation.size(); i += piece) {
      all += s.client.send(std::string_view(conversation).substr(i, piece));
    }
    CAPTURE(piece);
    CHECK(all == replies);
  }
}
