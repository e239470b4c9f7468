// common/protocol/text.h: every command of the text protocol, byte for byte.
#include "common/protocol/text.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/protocol/version.h"

using namespace std::string_literals;
using namespace std::string_view_literals;
using protocol::command_stats;
using protocol::environment;
using protocol::outcome;

namespace {

const std::string too_large_line = "SERVER_ERROR object too large for cache\r\n";
const std::string bad_format_line = "CLIENT_ERROR bad command line format\r\n";

// A connection without a socket: bytes in, reply bytes out. What is incomplete waits for the next bytes.
class session {
 public:
  explicit session(environment& env) : env_(env) {}

  std::string send(std::string_view bytes) {
    input_ += bytes;
    std::string replies;
    while (!closed_ && (step_value() || step_swallow() || step_line(replies))) {
      if (value_full()) finish_value(replies);
    }
    return replies;
  }

  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool in_step() const { return input_.empty() && !item_ && swallow_ == 0; }
  [[nodiscard]] const outcome& last() const { return out_; }
  [[nodiscard]] const std::vector<storage::item_ref>& items() const { return items_; }

 private:
  bool step_value() {
    if (!item_ || input_.empty()) return false;
    const auto room = item_->data().subspan(filled_);
    const auto n = std::min(room.size(), input_.size());
    std::copy_n(input_.begin(), n, room.begin());
    input_.erase(0, n);
    filled_ += n;
    return true;
  }

  bool value_full() { return item_ && filled_ == item_->data().size(); }

  void finish_value(std::string& replies) {
    protocol::complete_value(env_, std::move(item_), mode_, cas_, noreply_, out_);
    act(replies);
  }

  bool step_swallow() {
    const auto n = std::min(swallow_, input_.size());
    input_.erase(0, n);
    swallow_ -= n;
    return n != 0;
  }

  bool step_line(std::string& replies) {
    if (item_ || swallow_ != 0) return false;
    const auto end = protocol::find_line(input_);
    if (!end) return false;
    protocol::process_command(env_, std::string_view(input_).substr(0, end->line), out_, items_);
    input_.erase(0, end->consumed);
    act(replies);
    return true;
  }

  void act(std::string& replies) {
    switch (out_.what) {
      case outcome::kind::reply_line: replies.append(out_.line).append("\r\n"); break;
      case outcome::kind::reply_text: replies += out_.text; break;
      case outcome::kind::send_items: send_items(replies); break;
      case outcome::kind::want_value:
        item_ = std::move(out_.item);
        filled_ = 0;
        mode_ = out_.mode;
        cas_ = out_.cas;
        noreply_ = out_.noreply;
        break;
      case outcome::kind::skip_value:
        if (!out_.line.empty()) replies.append(out_.line).append("\r\n");
        swallow_ = out_.swallow_bytes;
        break;
      case outcome::kind::nothing: break;
      case outcome::kind::hang_up:
        if (!out_.line.empty()) replies.append(out_.line).append("\r\n");
        closed_ = true;
        break;
    }
  }

  void send_items(std::string& replies) {
    for (const auto& ref : items_) {
      const storage::item& it = *ref;
      replies.append("VALUE ").append(it.key()).append(it.suffix().substr(0, it.suffix().size() - 2));
      if (out_.with_cas) replies.append(" ").append(std::to_string(it.cas));
      replies.append("\r\n").append(it.data());
    }
    replies += "END\r\n";
  }

  environment& env_;
  std::string input_;
  outcome out_;
  std::vector<storage::item_ref> items_;
  storage::item_ref item_;
  std::size_t filled_ = 0;
  storage::store_mode mode_{};
  std::uint64_t cas_ = 0;
  bool noreply_ = false;
  std::size_t swallow_ = 0;
  bool closed_ = false;
};

constexpr std::int64_t start_time = 1'500'000'000;

// A server with one connection.
struct server {
  explicit server(const storage::options& options = {}) : store(options) { store.set_time(start_time); }

  std::string operator()(std::string_view bytes) { return client.send(bytes); }

  // One command line, its \r\n added.
  std::string line(std::string_view command) { return client.send(std::string(command) + "\r\n"); }

  std::string set(std::string_view key, std::string_view value) {
    return client.send("set " + std::string(key) + " 0 0 " + std::to_string(value.size()) + "\r\n" +
                       std::string(value) + "\r\n");
  }

  // The cas number that "gets" shows.
  std::string cas_of(const std::string& key) {
    const auto reply = client.send("gets " + key + "\r\n");
    const auto first_line = reply.substr(0, reply.find("\r\n"));
    return first_line.substr(first_line.rfind(' ') + 1);
  }

  storage::store store;
  command_stats commands;
  std::optional<unsigned> verbosity;
  std::vector<std::string> asked;  // of process_stats
  environment env{.store = store,
                  .commands = commands,
                  .set_verbosity = [this](unsigned level) { verbosity = level; },
                  .process_stats =
                      [this](std::string_view group, const add_stat& add) {
                        asked.emplace_back(group);
                        if (group == "memory") throw std::bad_alloc();
                        if (group != "" && group != "settings" && group != "reset") return false;
                        add("pid", "1");
                        add("version", "1.4.25");
                        return true;
                      }};
  session client{env};
};

storage::options small_items() {
  storage::options options;
  options.item_size_max = 4096;
  return options;
}

storage::options no_eviction() {
  storage::options options;
  options.memory_limit = 2u << 20;
  options.evict = false;
  return options;
}

std::string key_of(std::size_t length) { return std::string(length, 'k'); }

}  // namespace

TEST_CASE("find_line: a line ends at \\n, with or without one \\r before it") {
  using lengths = std::pair<std::size_t, std::size_t>;
  const auto end = [](std::string_view input) {
    const auto found = protocol::find_line(input).value();
    return lengths{found.line, found.consumed};
  };
  CHECK(end("get a\r\nget b\r\n") == lengths{5, 7});
  CHECK(end("get a\nget b\r\n") == lengths{5, 6});
  CHECK(end("\n") == lengths{0, 1});
  CHECK(end("\r\n") == lengths{0, 2});
  CHECK(end("\r\r\n") == lengths{1, 3});
  CHECK(end("a\rb\n") == lengths{3, 4});
  CHECK_FALSE(protocol::find_line(""));
  CHECK_FALSE(protocol::find_line("get a\r"));
}

TEST_CASE("a line has at most 1,024 bytes, one that begins like a get 8 MiB") {
  const auto too_long = [](const std::string& start, std::size_t length) {
    return protocol::line_too_long(start + std::string(length - start.size(), 'x'));
  };
  CHECK_FALSE(protocol::line_too_long(""));
  CHECK_FALSE(too_long("set ", 1024));
  CHECK(too_long("set ", 1025));
  CHECK(too_long("bget ", 1025));
  CHECK(too_long("get", 1025));
  CHECK(too_long("get\t", 1025));
  CHECK_FALSE(too_long("get ", 1025));
  CHECK_FALSE(too_long("gets ", 1025));
  CHECK_FALSE(too_long(std::string(100, ' ') + "get ", 2000));
  CHECK(too_long(std::string(101, ' ') + "get ", 2000));
  CHECK_FALSE(protocol::line_too_long(std::string(1024, ' ')));
  CHECK(protocol::line_too_long(std::string(1025, ' ')));
  CHECK_FALSE(too_long("get ", protocol::max_get_line));
  CHECK(too_long("get ", protocol::max_get_line + 1));
}

TEST_CASE("a line end is looked for where nobody has looked") {
  CHECK(protocol::find_line("get a\r\n", 6)->consumed == 7);
  CHECK(protocol::find_line("\nget a\r\n", 1)->line == 6);
  CHECK_FALSE(protocol::find_line("get a\r\n", 7));
  CHECK_FALSE(protocol::find_line("", 0));
}

// All ways to cut it in two, near its end: whatever has come of a line, its answer is the same.
TEST_CASE("a line that is too long is the same line however it is cut") {
  for (const std::string& end : {"\n"s, "\r\n"s}) {
    for (const std::size_t length : {std::size_t{1023}, std::size_t{1024}, std::size_t{1025}, std::size_t{1026}}) {
      const std::string input = std::string(length, 'x') + end;
      CAPTURE(input.size());
      for (std::size_t cut = 1000; cut <= input.size(); ++cut) {
        const auto found = protocol::find_line(std::string_view(input).substr(0, cut));
        const bool refused = found && protocol::line_too_long(std::string_view(input).substr(0, found->line));
        if (length <= 1024) {
          CHECK_FALSE(refused);
          CHECK(found.has_value() == (cut == input.size()));
        } else if (cut == input.size()) {
          CHECK(refused);
          CHECK(found->consumed == cut);
        } else if (found) {
          CHECK(refused);
        }
      }
    }
  }
}

TEST_CASE("a line that is too long is answered, and the connection ends") {
  for (const std::string& line : {std::string(1025, 'x'), "get " + std::string(protocol::max_get_line, 'x'),
                                  "set a 0 0 1 noreply" + std::string(1025, ' ')}) {
    server s;
    CHECK(s(line) == "CLIENT_ERROR line too long\r\n");
    CHECK(s.client.closed());
    server t;
    CHECK(t.line(line) == "CLIENT_ERROR line too long\r\n");
    CHECK(t.client.closed());
  }
}

TEST_CASE("set and get") {
  server s;
  CHECK(s("set a 5 0 3\r\nabc\r\n") == "STORED\r\n");
  CHECK(s("get a\r\n") == "VALUE a 5 3\r\nabc\r\nEND\r\n");
  CHECK(s("get b\r\n") == "END\r\n");
  CHECK(s("get b a b a\r\n") == "VALUE a 5 3\r\nabc\r\nVALUE a 5 3\r\nabc\r\nEND\r\n");
  CHECK(s("bget a\r\n") == "VALUE a 5 3\r\nabc\r\nEND\r\n");
  CHECK(s("set a 0 0 0\r\n\r\nget a\r\n") == "STORED\r\nVALUE a 0 0\r\n\r\nEND\r\n");
  CHECK(s("set a 0 0 4\r\n\0\r\n\0\r\nget a\n"sv) == "STORED\r\nVALUE a 0 4\r\n\0\r\n\0\r\nEND\r\n"s);
  CHECK(s.client.in_step());
}

TEST_CASE("any number of keys in a get, and blanks between them") {
  server s;
  s.set("a", "1");
  std::string line = "get";
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    line += i % 3 == 0 ? " a" : "   missing";
    if (i % 3 == 0) expected += "VALUE a 0 1\r\n1\r\n";
  }
  CHECK(s.line(line + "  ") == expected + "END\r\n");
  CHECK(s.commands.get_cmds.value() == 100);
  CHECK(s.commands.get_misses.value() == 66);
}

TEST_CASE("a get line of 8 MiB") {
  server s;
  std::string line = "get ";
  while (line.size() + 2 <= protocol::max_get_line) line += "a ";
  CHECK(s.line(line) == "END\r\n");
  CHECK(s.commands.get_misses.value() == (line.size() - 4) / 2);
  CHECK(s.line("get " + std::string(protocol::max_get_line - 4, 'a')) == bad_format_line);
  CHECK_FALSE(s.client.closed());
}

TEST_CASE("add, replace, append, prepend") {
  server s;
  CHECK(s("replace a 0 0 1\r\nx\r\n") == "NOT_STORED\r\n");
  CHECK(s("append a 0 0 1\r\nx\r\n") == "NOT_STORED\r\n");
  CHECK(s("prepend a 0 0 1\r\nx\r\n") == "NOT_STORED\r\n");
  CHECK(s("add a 7 0 1\r\nx\r\n") == "STORED\r\n");
  CHECK(s("add a 0 0 1\r\ny\r\n") == "NOT_STORED\r\n");
  CHECK(s("append a 1 0 2\r\nyz\r\n") == "STORED\r\n");
  CHECK(s("prepend a 2 0 2\r\nvw\r\n") == "STORED\r\n");
  CHECK(s("get a\r\n") == "VALUE a 7 5\r\nvwxyz\r\nEND\r\n");
  CHECK(s("replace a 9 0 1\r\nn\r\n") == "STORED\r\n");
  CHECK(s("get a\r\n") == "VALUE a 9 1\r\nn\r\nEND\r\n");
}

TEST_CASE("cas: stored only over the very item that gets showed") {
  server s;
  CHECK(s("cas a 0 0 1 1\r\nx\r\n") == "NOT_FOUND\r\n");
  s.set("a", "1");
  const auto first = s.cas_of("a");
  CHECK(s("gets a\r\n") == "VALUE a 0 1 " + first + "\r\n1\r\nEND\r\n");
  CHECK(s("cas a 0 0 1 " + first + "\r\n2\r\n") == "STORED\r\n");
  CHECK(s("cas a 0 0 1 " + first + "\r\n3\r\n") == "EXISTS\r\n");
  CHECK(s("cas a 0 0 1 0\r\n3\r\n") == "EXISTS\r\n");
  const auto second = s.cas_of("a");
  CHECK(second != first);
  CHECK(s("cas a 0 0 1 " + second + " anything\r\n3\r\n") == "STORED\r\n");
  CHECK(s("cas a 0 0 1 " + s.cas_of("a") + " noreply\r\n4\r\nget a\r\n") == "VALUE a 0 1\r\n4\r\nEND\r\n");
  CHECK(s.commands.cas_misses.value() == 1);
  CHECK(s("cas a 0 0 1 18446744073709551615\r\nx\r\n") == "EXISTS\r\n");
  for (const auto* number : {"x", "-1", "18446744073709551616", "noreplyx"}) {
    CHECK(s("cas a 0 0 1 "s + number + "\r\n") == bad_format_line);
  }
  CHECK(s.line("cas a 0 0 1") == "ERROR\r\n");
  CHECK(s.line("cas a 0 0 1 1 noreply x") == "ERROR\r\n");
  CHECK(s.line("cas a 0 0 1 noreply") == "");  // the cas number is missing, and the error is silenced
  CHECK(s.client.in_step());
}

TEST_CASE("incr and decr") {
  server s;
  s.set("n", "10");
  CHECK(s.line("incr n 1") == "11\r\n");
  CHECK(s.line("decr n 2") == "9\r\n");
  CHECK(s.line("get n") == "VALUE n 0 2\r\n9 \r\nEND\r\n");
  CHECK(s.line("decr n 10") == "0\r\n");
  CHECK(s.line("incr n 0 anything") == "0\r\n");
  CHECK(s.line("incr n 18446744073709551615") == "18446744073709551615\r\n");
  CHECK(s.line("incr n 2") == "1\r\n");
  CHECK(s.line("incr n 5 noreply") == "");
  CHECK(s.line("decr n 1 noreply") == "");
  CHECK(s.line("incr n 0") == "5\r\n");
  CHECK(s.line("incr missing 1") == "NOT_FOUND\r\n");
  CHECK(s.line("decr missing 1") == "NOT_FOUND\r\n");
  CHECK(s.line("decr missing 1 noreply") == "");
  CHECK(s.commands.incr_misses.value() == 1);
  CHECK(s.commands.decr_misses.value() == 2);
}

TEST_CASE("incr and decr of what is no number, and by what is none") {
  server s;
  const auto no_number = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"s;
  const auto no_delta = "CLIENT_ERROR invalid numeric delta argument\r\n"s;
  for (const auto* value : {"", "x", "1x3", "18446744073709551616", "-1"}) {
    s.set("n", value);
    CAPTURE(value);
    CHECK(s.line("incr n 1") == no_number);
    CHECK(s.line("decr n 1") == no_number);
    CHECK(s.line("incr n 1 noreply") == "");
  }
  s.set("n", "1");
  for (const auto* delta : {"x", "-1", "1x", "18446744073709551616", "1.5"}) {
    CAPTURE(delta);
    CHECK(s.line("incr n "s + delta) == no_delta);
    CHECK(s.line("decr n "s + delta) == no_delta);
  }
  CHECK(s.line("incr n x noreply") == "");
  CHECK(s.line("incr n noreply") == "");  // "noreply" is the delta, and silences the error about itself
  CHECK(s.line("incr n") == "ERROR\r\n");
  CHECK(s.line("incr") == "ERROR\r\n");
  CHECK(s.line("incr n 1 2 3") == "ERROR\r\n");
}

TEST_CASE("delete, and the 0 that used to be a time") {
  server s;
  const auto usage = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"s;
  CHECK(s.line("delete a") == "NOT_FOUND\r\n");
  CHECK(s.line("delete noreply") == "NOT_FOUND\r\n");
  CHECK(s.commands.delete_misses.value() == 2);
  for (const auto* form : {"delete a", "delete a 0"}) {
    s.set("a", "1");
    CHECK(s.line(form) == "DELETED\r\n");
    CHECK(s.line("get a") == "END\r\n");
  }
  for (const auto* form : {"delete a noreply", "delete a 0 noreply"}) {
    s.set("a", "1");
    CHECK(s.line(form) == "");
    CHECK(s.line("get a") == "END\r\n");
  }
  s.set("a", "1");
  CHECK(s.line("delete a 1") == usage);
  CHECK(s.line("delete a 00") == usage);
  CHECK(s.line("delete a 0 0") == usage);
  CHECK(s.line("delete a noreply 0") == usage);
  CHECK(s.line("delete a 1 noreply") == "");
  CHECK(s.line("delete a 0 0 0") == "ERROR\r\n");
  CHECK(s.line("delete") == "ERROR\r\n");
  CHECK(s.line("get a") == "VALUE a 0 1\r\n1\r\nEND\r\n");
}

TEST_CASE("touch, and expiry by the clock") {
  server s;
  CHECK(s("set a 0 10 1\r\nx\r\n") == "STORED\r\n");
  CHECK(s.line("touch a 100") == "TOUCHED\r\n");
  s.store.set_time(start_time + 50);
  CHECK(s.line("get a") == "VALUE a 0 1\r\nx\r\nEND\r\n");
  CHECK(s.line("touch a 20 noreply") == "");
  CHECK(s.line("touch a x") == "CLIENT_ERROR invalid exptime argument\r\n");
  CHECK(s.line("touch a 9223372036854775808") == "CLIENT_ERROR invalid exptime argument\r\n");
  CHECK(s.line("touch a noreply") == "");
  CHECK(s.line("touch a 20 anything") == "TOUCHED\r\n");
  s.store.set_time(start_time + 71);
  CHECK(s.line("touch a 100") == "NOT_FOUND\r\n");
  CHECK(s.line("touch a 100 noreply") == "");
  CHECK(s.line("touch a") == "ERROR\r\n");
  CHECK(s.line("touch a 1 2 3") == "ERROR\r\n");
  CHECK(s.commands.touch_cmds.value() == 5);
  CHECK(s.commands.touch_misses.value() == 2);
  s("set a 0 0 1\r\nx\r\n");
  CHECK(s.line("touch a -1") == "TOUCHED\r\n");
  CHECK(s.line("get a") == "END\r\n");
}

TEST_CASE("exptime: negative is past, and numbers beyond 32 bits wrap") {
  server s;
  const auto alive = [&](const std::string& exptime) {
    CHECK(s("set a 0 " + exptime + " 1\r\nx\r\n") == "STORED\r\n");
    return s.line("get a") != "END\r\n";
  };
  CHECK(alive("0"));
  CHECK(alive("-0"));
  CHECK(alive("1"));
  CHECK_FALSE(alive("-1"));
  CHECK(alive("2592000"));
  CHECK_FALSE(alive("2592001"));  // absolute, in 1970
  CHECK(alive(std::to_string(start_time + 100)));
  CHECK_FALSE(alive(std::to_string(start_time - 100)));
  CHECK(alive("2147483647"));
  CHECK_FALSE(alive("2147483648"));           // -2^31
  CHECK(alive("4294967296"));                 // 0
  CHECK_FALSE(alive("9223372036854775807"));  // -1
  CHECK(alive("-9223372036854775808"));       // 0
  for (const auto* exptime : {"x", "9223372036854775808", "-9223372036854775809", "1x"}) {
    CHECK(s("set a 0 "s + exptime + " 1\r\n") == bad_format_line);
  }
}

TEST_CASE("flags: 32 bits, larger ones wrap") {
  server s;
  const auto flags = [&](const std::string& written) {
    s("set a " + written + " 0 1\r\nx\r\n");
    const auto reply = s.line("get a");
    return reply.substr(8, reply.find(" 1\r\n") - 8);
  };
  CHECK(flags("0") == "0");
  CHECK(flags("+5") == "5");
  CHECK(flags("\t5\tfoo") == "5");
  CHECK(flags("4294967295") == "4294967295");
  CHECK(flags("4294967296") == "0");
  CHECK(flags("18446744073709551615") == "4294967295");
  for (const auto* bad : {"x", "-1", "18446744073709551616", "0x5", "1.5", "\t"}) {
    CAPTURE(bad);
    CHECK(s("set a "s + bad + " 0 1\r\n") == bad_format_line);
  }
}

TEST_CASE("a bad storage line is refused, and its value taken for a command") {
  server s;
  s.set("a", "old");
  for (const auto* line : {"set a 0 0 x", "set a 0 0 -1", "set a 0 0 -2", "set a x 0 1", "set a 0 x 1", "add a 0 0 x",
                           "replace a 0 0 x", "append a 0 0 x", "prepend a 0 0 x", "cas a 0 0 x 1"}) {
    CAPTURE(line);
    CHECK(s(line + "\r\nversion\r\n"s) == bad_format_line + "VERSION 1.4.25\r\n");
  }
  CHECK(s("set a 0 0 x noreply\r\nversion\r\n") == "VERSION 1.4.25\r\n");
  CHECK(s.line("set a 0 0 noreply") == "");
  for (const auto* line :
       {"set", "set a", "set a 0", "set a 0 0", "set a 0 0 1 2 3", "set a 0 0 1 noreply 3", "add a 0 0",
        "replace a 0 0", "append a 0 0", "prepend a 0 0 1 2 3", "set a 0 0 1 2 3 4 5 6"}) {
    CAPTURE(line);
    CHECK(s.line(line) == "ERROR\r\n");
  }
  CHECK(s("set a 0 0 1 anything\r\nx\r\n") == "STORED\r\n");
  CHECK(s.line("get a") == "VALUE a 0 1\r\nx\r\nEND\r\n");
}

TEST_CASE("lengths that lie") {
  server s;
  CHECK(s.line("set a 0 0 2147483646") == bad_format_line);
  CHECK(s.line("set a 0 0 2147483647") == bad_format_line);
  CHECK(s.line("set a 0 0 4294967297") == bad_format_line);
  CHECK(s.line("set a 0 0 -4294967295") == bad_format_line);
  CHECK(s.line("set a 0 0 9223372036854775807") == bad_format_line);
  CHECK(s.line("set a 0 0 9223372036854775808") == bad_format_line);
  CHECK(s.client.in_step());
  CHECK(s.line("set a 0 0 2147483645") == too_large_line);
  CHECK(s.client.last().swallow_bytes == 2147483647);
}

TEST_CASE("bad data chunk: as many bytes as announced are gone, the rest is a command line") {
  server s;
  s.set("a", "old");
  CHECK(s("set a 0 0 1\r\nxxx\r\n") == "CLIENT_ERROR bad data chunk\r\nERROR\r\n");
  CHECK(s("set a 0 0 3\r\nxversion\r\n") == "CLIENT_ERROR bad data chunk\r\nERROR\r\n");
  CHECK(s("set a 0 0 1\r\nx\n\nversion\r\n") == "CLIENT_ERROR bad data chunk\r\nVERSION 1.4.25\r\n");
  CHECK(s("set a 0 0 1 noreply\r\nxxx\r\n") == "ERROR\r\n");
  CHECK(s("cas a 0 0 1 1\r\nxxxversion\r\n") == "CLIENT_ERROR bad data chunk\r\nVERSION 1.4.25\r\n");
  CHECK(s.line("get a") == "VALUE a 0 3\r\nold\r\nEND\r\n");
  CHECK(s.client.in_step());
}

TEST_CASE("a value too large is swallowed; a refused set takes the old value with it") {
  server s(small_items());
  const std::string value(5000, 'v');
  const auto command = [&](const std::string& verb, const std::string& more = "") {
    return s(verb + " a 0 0 5000" + more + "\r\n" + value + "\r\n");
  };
  s.set("a", "old");
  for (const auto* verb : {"add", "replace", "append", "prepend"}) {
    CAPTURE(verb);
    CHECK(command(verb) == too_large_line);
    CHECK(command(verb, " noreply") == "");
  }
  CHECK(command("cas", " 1") == too_large_line);
  CHECK(s.line("get a") == "VALUE a 0 3\r\nold\r\nEND\r\n");
  CHECK(command("set") == too_large_line);
  CHECK(s.line("get a") == "END\r\n");
  s.set("a", "old");
  CHECK(command("set", " noreply") == "");
  CHECK(s.line("get a") == "END\r\n");
  CHECK(s.client.in_step());
}

TEST_CASE("append beyond the largest item") {
  server s(small_items());
  const std::string half(2500, 'v');
  s.set("a", half);
  CHECK(s("append a 0 0 2500\r\n" + half + "\r\n") == too_large_line);
  CHECK(s("prepend a 0 0 2500 noreply\r\n" + half + "\r\n") == "");
  CHECK(s.line("get a") == "VALUE a 0 2500\r\n" + half + "\r\nEND\r\n");
}

TEST_CASE("-M: a full cache refuses, and a refused set takes the old value with it") {
  server s(no_eviction());
  const std::string value(100'000, 'v');
  std::string reply;
  int stored = 0;
  while ((reply = s.set("k" + std::to_string(stored), value)) == "STORED\r\n") REQUIRE(++stored < 1000);
  CHECK(reply == "SERVER_ERROR out of memory storing object\r\n");
  CHECK(s("add k0 0 0 100000\r\n" + value + "\r\n") == "SERVER_ERROR out of memory storing object\r\n");
  CHECK(s.line("get k0") == "VALUE k0 0 100000\r\n" + value + "\r\nEND\r\n");
  CHECK(s("set k0 0 0 100000 noreply\r\n" + value + "\r\n") == "");
  CHECK(s.line("get k0") == "END\r\n");
  CHECK(s.set("k0", value) == "STORED\r\n");
  CHECK(s.client.in_step());
}

TEST_CASE("keys of 250 bytes are the longest") {
  server s;
  CHECK(s.set(key_of(250), "x") == "STORED\r\n");
  CHECK(s.line("get " + key_of(250)) == "VALUE " + key_of(250) + " 0 1\r\nx\r\nEND\r\n");
  const std::string longest = key_of(250);
  CHECK(s.line("gets " + longest).starts_with("VALUE " + longest + " 0 1 "));
  CHECK(s.line("bget " + longest) == "VALUE " + longest + " 0 1\r\nx\r\nEND\r\n");
  CHECK(s.line("touch " + longest + " 0") == "TOUCHED\r\n");
  CHECK(s("cas " + longest + " 0 0 1 " + s.cas_of(longest) + "\r\n5\r\n") == "STORED\r\n");
  CHECK(s.line("incr " + longest + " 2") == "7\r\n");
  CHECK(s.line("decr " + longest + " 3") == "4\r\n");
  CHECK(s("append " + longest + " 0 0 1\r\n2\r\n") == "STORED\r\n");
  CHECK(s("prepend " + longest + " 0 0 1\r\n1\r\n") == "STORED\r\n");
  CHECK(s.line("incr " + longest + " 0") == "142\r\n");
  CHECK(s("replace " + longest + " 0 0 1\r\nx\r\n") == "STORED\r\n");
  CHECK(s.line("delete " + longest) == "DELETED\r\n");
  CHECK(s("add " + longest + " 0 0 1\r\nx\r\n") == "STORED\r\n");

  const auto key = key_of(251);
  for (const auto& line :
       {"set " + key + " 0 0 1", "add " + key + " 0 0 1", "replace " + key + " 0 0 1", "append " + key + " 0 0 1",
        "prepend " + key + " 0 0 1", "cas " + key + " 0 0 1 1", "get " + key, "gets " + key, "bget " + key,
        "incr " + key + " 1", "decr " + key + " 1", "decr " + key + " x", "delete " + key, "delete " + key + " 0",
        "touch " + key + " 0", "touch " + key + " x"}) {
    CHECK(s.line(line) == bad_format_line);
  }
  CHECK(s.line("set " + key + " 0 0 1 noreply") == "");
  CHECK(s.line("delete " + key + " noreply") == "");
}

TEST_CASE("a key too long anywhere in a get spoils the whole of it") {
  server s;
  s.set("a", "x");
  CHECK(s.line("get a a " + key_of(251) + " a") == bad_format_line);
  CHECK(s.line("get a a a a a a a a a a " + key_of(251)) == bad_format_line);
  CHECK(s.client.items().empty());
  CHECK(s.line("get a") == "VALUE a 0 1\r\nx\r\nEND\r\n");
}

TEST_CASE("NULs and control bytes in lines and keys") {
  server s;
  CHECK(s("set a\tb\x01\x7f\xff 0 0 1\r\nx\r\n") == "STORED\r\n");
  CHECK(s("get a\tb\x01\x7f\xff\r\n") == "VALUE a\tb\x01\x7f\xff 0 1\r\nx\r\nEND\r\n");
  CHECK(s("get a\0b\r\n"sv) == "END\r\n");
  s.set("a", "y");
  CHECK(s("get a\0 b\r\n"sv) == "VALUE a 0 1\r\ny\r\nEND\r\n");
  CHECK(s("version\0\r\n"sv) == "VERSION 1.4.25\r\n");
  CHECK(s("\0version\r\n"sv) == "ERROR\r\n");
  CHECK(s("version\r\r\n") == "ERROR\r\n");
  CHECK(s("get a\r\r\n") == "END\r\n");
  CHECK(s("\xff\xfe\r\n") == "ERROR\r\n");
}

TEST_CASE("what is no command") {
  server s;
  const auto all_unknown = [&](std::initializer_list<const char*> lines) {
    for (const auto* line : lines) {
      CAPTURE(line);
      CHECK(s.line(line) == "ERROR\r\n");
    }
  };
  all_unknown({"", " ", "      ", "get", "get ", "gets", "bget"});
  all_unknown({"GET a", "Get a", "gett a", "ge a", "get\ta", "\tget a", "noreply", "foo noreply"});
  all_unknown({"slabs", "slabs reassign 1 2", "slabs automove 1", "lru_crawler", "lru_crawler enable"});
  all_unknown({"gat 0 a", "mg a", "me a", "watch"});  // of later versions
  CHECK(s("\n") == "ERROR\r\n");
  CHECK(s("  version  \n") == "VERSION 1.4.25\r\n");
}

TEST_CASE("flush_all") {
  server s;
  const auto refused = "CLIENT_ERROR invalid exptime argument\r\n"s;
  s.set("a", "x");
  s.store.set_time(start_time + 2);
  CHECK(s.line("flush_all") == "OK\r\n");
  CHECK(s.line("get a") == "END\r\n");

  s.store.set_time(start_time + 4);
  s.set("a", "x");
  CHECK(s.line("flush_all 10") == "OK\r\n");
  CHECK(s.line("get a") == "VALUE a 0 1\r\nx\r\nEND\r\n");
  s.store.set_time(start_time + 15);
  CHECK(s.line("get a") == "END\r\n");

  s.store.set_time(start_time + 20);
  for (const auto* form : {"flush_all noreply", "flush_all 0 noreply", "flush_all -1 noreply"}) {
    s.set("a", "x");
    s.store.set_time(s.store.time() + std::int64_t{2});
    CAPTURE(form);
    CHECK(s.line(form) == "");
    CHECK(s.line("get a") == "END\r\n");
    s.store.set_time(s.store.time() + std::int64_t{2});
  }
  s.set("a", "x");
  s.store.set_time(s.store.time() + std::int64_t{2});
  CHECK(s.line("flush_all x") == refused);
  CHECK(s.line("flush_all noreply 5") == refused);
  CHECK(s.line("flush_all 9223372036854775808") == refused);
  CHECK(s.line("flush_all x noreply") == "");
  CHECK(s.line("flush_all 1 2 3") == "ERROR\r\n");
  CHECK(s.line("get a") == "VALUE a 0 1\r\nx\r\nEND\r\n");
  CHECK(s.line("flush_all 0 anything") == "OK\r\n");
  CHECK(s.line("get a") == "END\r\n");
  CHECK(s.commands.flush_cmds.value() == 10);
}

TEST_CASE("-F: flush_all is refused, and counted") {
  server s;
  s.env.flush_enabled = false;
  s.set("a", "x");
  s.store.set_time(start_time + 2);
  CHECK(s.line("flush_all") == "CLIENT_ERROR flush_all not allowed\r\n");
  CHECK(s.line("flush_all 0 noreply") == "");
  CHECK(s.line("get a") == "VALUE a 0 1\r\nx\r\nEND\r\n");
  CHECK(s.commands.flush_cmds.value() == 2);
}

TEST_CASE("verbosity") {
  server s;
  CHECK(s.line("verbosity") == "ERROR\r\n");
  CHECK(s.line("verbosity x") == bad_format_line);
  CHECK(s.line("verbosity -1") == bad_format_line);
  CHECK(s.line("verbosity noreply") == "");
  CHECK(s.line("verbosity 1 2 3") == "ERROR\r\n");
  CHECK(s.line("verbosity 1 noreply 2") == "ERROR\r\n");
  CHECK_FALSE(s.verbosity);
  CHECK(s.line("verbosity 1") == "OK\r\n");
  CHECK(s.verbosity == 1);
  CHECK(s.line("verbosity 0 noreply") == "");
  CHECK(s.verbosity == 0);
  CHECK(s.line("verbosity 18446744073709551615 anything") == "OK\r\n");
  CHECK(s.verbosity == 2);
  CHECK(s.line("verbosity 4294967296") == "OK\r\n");
  CHECK(s.verbosity == 0);
}

TEST_CASE("version and quit stand alone, shutdown takes any arguments") {
  CHECK(server().line("version") == "VERSION 1.4.25\r\n");
  CHECK(protocol::version == "1.4.25");
  server gone;
  CHECK(gone.line("quit") == "");
  CHECK(gone.client.closed());
  server s;
  for (const auto* line : {"version foo bar", "version noreply", "quit foo", "quit noreply"}) {
    CHECK(s.line(line) == "ERROR\r\n");
  }
  CHECK(s.line("shutdown") == "ERROR: shutdown not enabled\r\n");
  CHECK(s.line("shutdown noreply") == "ERROR: shutdown not enabled\r\n");
  CHECK_FALSE(s.client.closed());
}

TEST_CASE("stats of the process come from the environment") {
  server s;
  CHECK(s.line("stats") == "STAT pid 1\r\nSTAT version 1.4.25\r\nEND\r\n");
  CHECK(s.line("stats settings") == "STAT pid 1\r\nSTAT version 1.4.25\r\nEND\r\n");
  CHECK(s.line("stats settings more noreply") == "STAT pid 1\r\nSTAT version 1.4.25\r\nEND\r\n");
  CHECK(s.line("stats foo") == "ERROR\r\n");
  CHECK(s.line("stats noreply") == "ERROR\r\n");
  CHECK(s.line("stats memory") == "SERVER_ERROR out of memory writing stats\r\n");
  CHECK(s.asked == std::vector<std::string>{"", "settings", "settings", "foo", "noreply", "memory"});
  CHECK(s.line("stats") == "STAT pid 1\r\nSTAT version 1.4.25\r\nEND\r\n");
  s.env.process_stats = {};
  CHECK(s.line("stats") == "ERROR\r\n");
}

TEST_CASE("stats: a value can forge no line") {
  server s;
  s.env.process_stats = [](std::string_view, const add_stat& add) {
    add("9:addr", "unix:/tmp/a b\r\nSTAT forged 1");
    return true;
  };
  CHECK(s.line("stats conns") == "STAT 9:addr unix:/tmp/a b\\x0d\\x0aSTAT forged 1\r\nEND\r\n");
}

TEST_CASE("stats reset") {
  server s;
  s.line("get a");
  s.line("stats detail on");
  s.line("get p:a");
  CHECK(s.line("stats reset") == "RESET\r\n");
  CHECK(s.asked == std::vector<std::string>{"reset"});
  CHECK(s.commands.get_cmds.value() == 0);
  CHECK(s.commands.get_misses.value() == 0);
  CHECK(s.line("stats detail dump") == "END\r\n");
}

TEST_CASE("stats detail") {
  server s;
  const auto usage = "CLIENT_ERROR usage: stats detail on|off|dump\r\n"s;
  CHECK(s.line("stats detail") == usage);
  CHECK(s.line("stats detail foo") == usage);
  CHECK(s.line("stats detail ON") == usage);
  s.set("p:a", "1");
  CHECK(s.line("stats detail dump") == "END\r\n");
  CHECK(s.line("stats detail on") == "OK\r\n");
  s.set("p:a", "1");
  s.line("get p:a p:b plain");
  s.line("delete p:a");
  s.line("delete p:a noreply");
  CHECK(s.line("stats detail dump") == "PREFIX p get 2 hit 1 set 1 del 2\r\nEND\r\n");
  CHECK(s.line("stats detail off more") == "OK\r\n");
  s.line("get p:a");
  CHECK(s.line("stats detail dump") == "PREFIX p get 2 hit 1 set 1 del 2\r\nEND\r\n");
}

TEST_CASE("environments that share their prefix statistics hear of one another") {
  server one;
  server other;
  other.env.prefixes = one.env.prefixes;
  one.line("stats detail on");
  other.line("get p:a");
  CHECK(one.line("stats detail dump") == "PREFIX p get 1 hit 0 set 0 del 0\r\nEND\r\n");
}

TEST_CASE("stats cachedump") {
  server s;
  const auto bad_line = "CLIENT_ERROR bad command line\r\n"s;
  CHECK(s.line("stats cachedump") == bad_line);
  CHECK(s.line("stats cachedump 1") == bad_line);
  CHECK(s.line("stats cachedump x 1") == bad_format_line);
  CHECK(s.line("stats cachedump 1 x") == bad_format_line);
  CHECK(s.line("stats cachedump -1 0") == bad_format_line);
  CHECK(s.line("stats cachedump 64 0") == "CLIENT_ERROR Illegal slab id\r\n");
  CHECK(s.line("stats cachedump 18446744073709551615 0") == "CLIENT_ERROR Illegal slab id\r\n");
  CHECK(s.line("stats cachedump 0 0") == "END\r\n");
  CHECK(s.line("stats cachedump 1 0") == "END\r\n");
  CHECK(s.line("stats cachedump 63 0") == "END\r\n");
  CHECK(s.line("stats cachedump 4294967296 0") == "END\r\n");
  s.set("a", "x");
  s.set("b", "xyz");
  const auto dump = s.line("stats cachedump 1 0");
  CHECK(dump.starts_with("ITEM b [3 b; "));
  CHECK(dump.find("\r\nITEM a [1 b; ") != std::string::npos);
  CHECK(dump.ends_with(" s]\r\nEND\r\n"));
  CHECK(std::ranges::count(s.line("stats cachedump 1 1"), '\n') == 2);
}

TEST_CASE("stats items, sizes and slabs come from the store") {
  server s;
  s.set("a", "x");
  CHECK(s.line("stats items").starts_with("STAT items:1:number 1\r\n"));
  CHECK(s.line("stats items").ends_with("\r\nEND\r\n"));
  CHECK(s.line("stats sizes").ends_with(" 1\r\nEND\r\n"));
  CHECK(s.asked.empty());
}

TEST_CASE("stats slabs shows what commands did to each class, of all threads where there are more") {
  server s;
  s.set("n", "1");
  s.line("get n n n");
  s.line("incr n 1");
  s.line("incr n 1");
  s.line("decr n 1");
  s("cas n 0 0 1 " + s.cas_of("n") + "\r\n1\r\n");
  s("cas n 0 0 1 1\r\n1\r\n");
  s.line("touch n 0");
  s.line("delete n");
  const auto lines =
      "STAT 1:get_hits 4\r\nSTAT 1:cmd_set 3\r\nSTAT 1:delete_hits 1\r\nSTAT 1:incr_hits 2\r\nSTAT 1:decr_hits 1\r\n"
      "STAT 1:cas_hits 1\r\nSTAT 1:cas_badval 1\r\nSTAT 1:touch_hits 1\r\n";
  CHECK(s.line("stats slabs").find(lines) != std::string::npos);
  s.env.sum_commands = [&](command_stats& sum) {
    sum.add(s.commands);
    sum.add(s.commands);
  };
  CHECK(s.line("stats slabs").find("STAT 1:get_hits 8\r\nSTAT 1:cmd_set 6\r\n") != std::string::npos);
}

TEST_CASE("noreply stores in silence, whatever the result") {
  server s;
  for (const auto* line :
       {"add a 0 0 1 noreply\r\n1\r\n", "add a 0 0 1 noreply\r\n2\r\n", "set a 0 0 1 noreply\r\n3\r\n",
        "replace b 0 0 1 noreply\r\n4\r\n", "append a 0 0 1 noreply\r\n5\r\n", "prepend a 0 0 1 noreply\r\n2\r\n",
        "cas a 0 0 1 1 noreply\r\n6\r\n", "cas b 0 0 1 1 noreply\r\n6\r\n"}) {
    CAPTURE(line);
    CHECK(s(line) == "");
  }
  CHECK(s.line("get a b") == "VALUE a 0 3\r\n235\r\nEND\r\n");
  CHECK(s("set a 0 0 1\r\nx\r\n") == "STORED\r\n");
}

TEST_CASE("a text nobody took is gone with the next command, and so is an item") {
  server s;
  s.line("stats");
  CHECK_FALSE(s.client.last().text.empty());
  s.line("version");
  CHECK(s.client.last().text.empty());

  outcome out;
  std::vector<storage::item_ref> items;
  protocol::process_command(s.env, "set a 0 0 1", out, items);
  CHECK(out.item);
  protocol::process_command(s.env, "version", out, items);
  CHECK_FALSE(out.item);
  protocol::process_command(s.env, std::string_view{}, out, items);
  CHECK(out.line == "ERROR");
}

TEST_CASE("the same replies however the bytes are cut") {
  const auto conversation = "set a 0 0 6\r\nab\r\ncd\r\nget a\r\nset big 0 0 5000\r\n"s + std::string(5000, 'x') +
                            "\r\nincr a 1\r\nget a big\r\n";
  const auto replies =
      "STORED\r\nVALUE a 0 6\r\nab\r\ncd\r\nEND\r\n" + too_large_line +
      "CLIENT_ERROR cannot increment or decrement non-numeric value\r\nVALUE a 0 6\r\nab\r\ncd\r\nEND\r\n";
  for (std::size_t piece = 1; piece < 100; ++piece) {
    server s(small_items());
    std::string all;
    for (std::size_t i = 0; i < conversation.size(); i += piece)
      all += s(std::string_view(conversation).substr(i, piece));
    CAPTURE(piece);
    CHECK(all == replies);
  }
}
