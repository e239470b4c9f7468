// common/protocol/redis.h and redis_commands.h: how far requests and replies of Redis go, and what is done with
// commands.
#include "common/protocol/redis.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "common/protocol/redis_commands.h"

using namespace std::string_literals;
using namespace protocol::redis;
using enum progress;

namespace {

std::string words(const std::vector<std::string>& all) {
  std::string request = "*" + std::to_string(all.size()) + "\r\n";
  for (const std::string& word : all) request += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return request;
}

template <typename Frame>
struct outcome {
  Frame frame;
  progress so_far = more;
  std::size_t taken = 0;
};

// The stream comes in pieces of this size.
template <typename Frame>
outcome<Frame> read(std::string_view stream, std::size_t size, step (*frame)(Frame&, std::string_view) noexcept) {
  outcome<Frame> out;
  for (std::size_t come = 0; out.so_far == more && come < stream.size();) {
    come = std::min(come + size, stream.size());
    const step s = frame(out.frame, stream.substr(out.taken, come - out.taken));
    out.taken += s.bytes;
    out.so_far = s.so_far;
  }
  return out;
}

constexpr std::size_t at_once = std::string_view::npos / 2;

outcome<request_frame> request(std::string_view stream, std::size_t size = at_once) {
  return read<request_frame>(stream, size, frame_request);
}

outcome<reply_frame> reply(std::string_view stream, std::size_t size = at_once) {
  return read<reply_frame>(stream, size, frame_reply);
}

// Exactly this much of the stream is one request, however it comes.
void check_request(const std::string& one, std::string_view key, std::string_view error = "") {
  CAPTURE(one);
  for (std::size_t size = 1; size <= one.size() + 1; ++size) {
    const std::string stream = one + "*1\r\n";
    const auto out = request(stream, size);
    CHECK(out.so_far == whole);
    CHECK(out.taken == one.size());
    CHECK(out.frame.key == key);
    CHECK(out.frame.error == error);
  }
}

std::vector<std::uint32_t> keys(const request_frame& f) {
  std::vector<std::uint32_t> found;
  for (std::uint32_t i = 0; i < f.words; ++i) {
    if (is_key(f, i)) found.push_back(i);
  }
  return found;
}

std::vector<std::uint32_t> keys_of(const std::vector<std::string>& all) {
  const std::string stream = words(all);
  const auto out = request(stream);
  CHECK(out.so_far == whole);
  CHECK(out.frame.error.empty());
  return keys(out.frame);
}

std::string error_of(const std::vector<std::string>& all) {
  const std::string stream = words(all);
  const auto out = request(stream);
  CHECK(out.so_far == whole);
  CHECK(out.taken == stream.size());
  return out.frame.error.empty() ? "" : answer_to(out.frame);
}

std::string fault_of(std::string_view stream) {
  const auto out = request(stream);
  CHECK(out.so_far == broken);
  const auto in_bytes = request(stream, 1);
  CHECK(in_bytes.so_far == broken);
  CHECK(in_bytes.frame.error == out.frame.error);
  return answer_to(out.frame);
}

using numbers = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("a request goes as far as its words, however it comes") {
  check_request(words({"GET", "key"}), "key");
  check_request(words({"get", ""}), "");
  check_request(words({"SeT", "k", "a\r\n$3\r\nvalue", "EX", "10"}), "k");
  check_request(words({"SET", "k", std::string(300, 'v')}), "k");
  check_request(words({"MGET", "a", "b", "c"}), "a");
  check_request(words({"OBJECT", "encoding", "k"}), "k");
  check_request(words({"PING", "hello"}), "hello");
  check_request("PING\r\n", "");
  check_request("ping\n", "");
  check_request("\r\n", "");
  check_request("*0\r\n", "");
  check_request("*-1\r\n", "");
}

TEST_CASE("what asks for nothing, and what names many keys") {
  CHECK(request("\r\n").frame.asks_for_nothing());
  CHECK(request("*0\r\n").frame.asks_for_nothing());
  CHECK(!request("PING\r\n").frame.asks_for_nothing());
  const std::string one = words({"DEL", "a"});
  const std::string two = words({"DEL", "a", "b"});
  CHECK(!request(one).frame.many_keys());
  CHECK(request(two).frame.many_keys());
  CHECK(!request("PING\r\n").frame.many_keys());
}

TEST_CASE("which words are keys") {
  CHECK(keys_of({"GET", "a"}) == numbers{1});
  CHECK(keys_of({"SET", "a", "b", "NX"}) == numbers{1});
  CHECK(keys_of({"MGET", "a", "b", "c"}) == numbers{1, 2, 3});
  CHECK(keys_of({"MSET", "a", "1", "b", "2"}) == numbers{1, 3});
  CHECK(keys_of({"RENAME", "a", "b"}) == numbers{1, 2});
  CHECK(keys_of({"BITOP", "AND", "a", "b", "c"}) == numbers{2, 3, 4});
  CHECK(keys_of({"EVAL", "return 1", "2", "a", "b", "argument"}) == numbers{3, 4});
  CHECK(keys_of({"ZUNION", "2", "a", "b", "WITHSCORES"}) == numbers{2, 3});
  CHECK(keys_of({"ZUNIONSTORE", "to", "2", "a", "b", "WEIGHTS", "1", "2"}) == numbers{1, 3, 4});
  CHECK(keys_of({"COMMAND"}).empty());
  CHECK(keys_of({"SORT", "a", "BY", "b", "LIMIT", "0", "1"}) == numbers{1});
  CHECK(keys_of({"QUIT", "now"}).empty());
}

TEST_CASE("what no server must see is refused, and read to its end") {
  const auto arity = [](const std::string& name) {
    return "-ERR wrong number of arguments for '" + name + "' command\r\n";
  };
  CHECK(error_of({"GET"}) == arity("get"));
  CHECK(error_of({"Get", "a", "b"}) == arity("get"));
  CHECK(error_of({"MSET", "a", "1", "b"}) == arity("mset"));
  CHECK(error_of({"MSET", "a"}) == arity("mset"));
  CHECK(error_of({"PING", "a", "b"}) == arity("ping"));
  CHECK(error_of({"AUTH", "a", "b", "c"}) == arity("auth"));
  CHECK(error_of({"OBJECT", "HELP"}) == arity("object"));
  const std::string unknown = "-ERR this proxy knows no such command\r\n";
  CHECK(error_of({"NONSENSE", "a"}) == unknown);
  CHECK(error_of({"", "a"}) == unknown);
  CHECK(error_of({std::string(100'000, 'x'), "a"}) == unknown);
  for (const auto* name : {"MULTI", "EXEC", "RESET", "RANDOMKEY", "SAVE", "MONITOR"}) {
    CAPTURE(name);
    CHECK(error_of({name}).starts_with("-ERR "));
    CHECK(error_of({name}).ends_with("\r\n"));
  }
  for (const auto* count : {"0", "-1", "3", "x", "01", "99999999999999999999", ""}) {
    CAPTURE(count);
    CHECK(error_of({"EVAL", "script", count, "a", "b"}).starts_with("-ERR the number of keys"));
    CHECK(error_of({"ZUNIONSTORE", "to", count, "a", "b"}).starts_with("-ERR the number of keys"));
  }
  CHECK(error_of({"EVAL", "script", std::string(1000, '1'), "a"}).starts_with("-ERR the number of keys"));
  CHECK(error_of({"SORT", "a", "store", "b"}).starts_with("-ERR STORE"));
  CHECK(error_of({"GEORADIUS", "a", "0", "0", "1", "km", "STOREDIST", "b"}).starts_with("-ERR STORE"));
  CHECK(error_of({"SORT", "store"}).empty());
  check_request(words({"FOO", "a\r\n", std::string(300, 'x')}), "", "ERR this proxy knows no such command");
}

TEST_CASE("who has yet to say the password may nothing else") {
  const auto said = [](const std::string& stream) {
    request_frame f;
    f.is_stranger = true;
    const step s = frame_request(f, stream);
    CHECK(s.so_far == whole);
    CHECK(s.bytes == stream.size());
    return f.error.empty() ? "" : answer_to(f);
  };
  const std::string no_password = "-NOAUTH Authentication required.\r\n";
  CHECK(said(words({"AUTH", "secret"})).empty());
  CHECK(said(words({"QUIT"})).empty());
  CHECK(said("PING\r\n") == no_password);
  CHECK(said(words({"SET", "k", "v"})) == no_password);
  CHECK(said(words({"MULTI"})) == no_password);
  CHECK(said(words({"GET"})).starts_with("-ERR wrong number"));
  CHECK(said("\r\n").empty());
}

TEST_CASE("a key is looked at as a whole, and so has a limit") {
  CHECK(error_of({"GET", std::string(largest_key, 'k')}).empty());
  CHECK(error_of({"GET", std::string(largest_key + 1, 'k')}).starts_with("-ERR the key is too large"));
  CHECK(error_of({"SET", "k", std::string(largest_key + 1, 'v')}).empty());
  CHECK(error_of({"MGET", "a", std::string(largest_key + 1, 'k'), "b"}).starts_with("-ERR the key is too large"));
}

TEST_CASE("what is no request, and says nothing about where the next one begins") {
  const std::string array = "-ERR Protocol error: invalid multibulk length\r\n";
  for (const auto* stream : {"*x\r\n", "*\r\n", "*01\r\n", "*+1\r\n", "*1 \r\n", "*2147483648\r\n",
                             "*99999999999999999999\r\n", "*1\n$4\nPING\n"}) {
    CAPTURE(stream);
    CHECK(fault_of(stream) == array);
  }
  CHECK(fault_of("*" + std::string(100, '1')) == array);
  const std::string length = "-ERR Protocol error: invalid bulk length\r\n";
  for (const auto* stream : {"*1\r\n$x\r\n", "*1\r\n$-1\r\n", "*1\r\n$04\r\nPING\r\n", "*1\r\n$536870913\r\n",
                             "*2\r\n$3\r\nGET\r\n$-0\r\n"}) {
    CAPTURE(stream);
    CHECK(fault_of(stream) == length);
  }
  CHECK(fault_of("*1\r\n$" + std::string(100, '1')) == length);
  CHECK(fault_of("*1\r\n#4\r\n") == "-ERR Protocol error: expected '$'\r\n");
  for (const auto* stream : {"*1\r\n$4\r\nPINGxx", "*1\r\n$3\r\nPING\r\n", "*2\r\n$3\r\nGET\r\n$1\r\nab\r\n",
                             "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\rx", "*2\r\n$3\r\nFOO\r\n$1\r\nabc"}) {
    CAPTURE(stream);
    CHECK(fault_of(stream).starts_with("-ERR Protocol error: a word has no line end"));
  }
  for (const auto* stream : {"GET a\r\n", "PING a\r\n", "set k 0 0 1\r\n", "\x80\n", " \r\n", "\r\r\n", "PING\r\r\n"}) {
    CAPTURE(stream);
    CHECK(fault_of(stream).starts_with("-ERR Protocol error: this proxy takes no inline command"));
  }
  CHECK(fault_of(std::string(64, 'x')).starts_with("-ERR Protocol error: this proxy takes no inline command"));
}

TEST_CASE("a request has a limit") {
  CHECK(request("*1048576\r\n").so_far == more);
  CHECK(fault_of("*1048577\r\n").starts_with("-ERR Protocol error: the request is too large"));
  CHECK(request("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n").so_far == more);
  request_frame f;
  const std::string begin = "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n";
  CHECK(frame_request(f, begin).so_far == more);
  f.state.value_left = 2;
  f.state.size += largest_value;
  const std::string rest = "\r\n$1048576\r\n";
  CHECK(frame_request(f, rest).so_far == broken);
  CHECK(answer_to(f).starts_with("-ERR Protocol error: the request is too large"));
}

TEST_CASE("an array of 100,000 words") {
  std::vector<std::string> all(100'001, "key");
  all[0] = "MGET";
  const std::string stream = words(all);
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, std::size_t{16384}, at_once}) {
    const auto out = request(stream, size);
    CHECK(out.so_far == whole);
    CHECK(out.taken == stream.size());
    CHECK(out.frame.last_key == 100'000);
  }
}

TEST_CASE("a reply goes as far as its elements, however it comes") {
  for (const auto& one : {"+OK\r\n"s, "-ERR why\r\n"s, ":-7\r\n"s, "$0\r\n\r\n"s, "$-1\r\n"s, "$7\r\na\r\nb\r\nc\r\n"s,
                          "*0\r\n"s, "*-1\r\n"s, "+\r\n"s, "*2\r\n$1\r\na\r\n$-1\r\n"s,
                          "*3\r\n:1\r\n*2\r\n+a\r\n*0\r\n-b\r\n"s, "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"s,
                          "*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n$1\r\nx\r\n"s, "$300\r\n" + std::string(300, '*') + "\r\n"}) {
    CAPTURE(one);
    for (std::size_t size = 1; size <= one.size() + 1; ++size) {
      const auto out = reply(one + "+OK\r\n", size);
      CHECK(out.so_far == whole);
      CHECK(out.taken == one.size());
      CHECK(out.frame.type == one.front());
    }
  }
}

TEST_CASE("what the parts of an answer must look like to be joined") {
  CHECK(reply("*3\r\n$1\r\na\r\n$-1\r\n$0\r\n\r\n").frame.only_values);
  CHECK(reply("*3\r\n$1\r\na\r\n$-1\r\n$0\r\n\r\n").frame.elements == 3);
  CHECK(!reply("*2\r\n$1\r\na\r\n:1\r\n").frame.only_values);
  CHECK(!reply("*2\r\n*1\r\n$1\r\na\r\n$1\r\na\r\n").frame.only_values);
  CHECK(reply("*-1\r\n").frame.elements == -1);
  CHECK(reply("*0\r\n").frame.elements == 0);
  CHECK(reply("*1\r\n*5\r\n").frame.elements == 1);
}

TEST_CASE("what is no reply") {
  for (const auto& stream :
       {"OK\r\n"s, "\r\n"s, "+OK\n"s, ":x\r\n"s, ":01\r\n"s, "$-2\r\n"s, "$x\r\n"s, "$536870913\r\n"s,
        "$3\r\nabcd\r\n"s, "$3\r\nab\r\n\r\n"s, "*-2\r\n"s, "*2147483648\r\n"s, "*1\r\n_\r\n"s, "%1\r\n"s,
        "*2\r\n$1\r\na\r\nb\r\n"s, "+" + std::string(longest_line, 'x')}) {
    CAPTURE(stream.substr(0, 30));
    CHECK(reply(stream).so_far == broken);
    CHECK(reply(stream, 1).so_far == broken);
  }
}

TEST_CASE("a bomb of arrays in arrays") {
  std::string nested;
  for (std::size_t i = 0; i < most_depth; ++i) nested += "*1\r\n";
  CHECK(reply(nested + ":1\r\n").so_far == whole);
  CHECK(reply(nested + "*0\r\n").so_far == whole);
  CHECK(reply(nested + "*1\r\n").so_far == broken);
  CHECK(reply("*2147483647\r\n").so_far == more);
}

TEST_CASE("a header says what comes behind it") {
  const auto h = read_header("$5\r\nhello\r\n*2\r\n");
  REQUIRE(h);
  CHECK(h->type == '$');
  CHECK(h->number == 5);
  CHECK(h->size == 4);
  CHECK(size_of_value(*h) == 11);
  CHECK(size_of_value(*read_header("$-1\r\n")) == 5);
  CHECK(read_header(":-12\r\n")->number == -12);
  CHECK(!read_header("$5"));
  CHECK(!read_header("+OK\r\n"));
  CHECK(!read_header(""));
}

TEST_CASE("commands are found by names of any letters") {
  REQUIRE(find_command("mGeT") != nullptr);
  CHECK(find_command("mGeT")->name == "mget");
  CHECK(find_command("MGET")->may_be_split());
  CHECK(!find_command("GET")->may_be_split());
  CHECK(find_command("georadiusbymember_ro") != nullptr);
  for (const auto& none :
       {""s, "ge"s, "gett"s, "@ET"s, "get\0"s, "georadiusbymember_rox"s, "zzz"s, std::string(1000, 'a')}) {
    CAPTURE(none);
    CHECK(find_command(none) == nullptr);
  }
}

TEST_CASE("how commands are treated") {
  using enum treatment;
  const auto how = [](std::string_view name) { return find_command(name)->how; };
  CHECK(how("get") == one_server);
  CHECK(how("mget") == joined_array);
  CHECK(how("mset") == joined_status);
  for (const auto* name : {"del", "unlink", "touch", "exists"}) CHECK(how(name) == joined_sum);
  for (const auto* name :
       {"multi", "watch", "blpop", "subscribe", "scan", "keys", "select", "client", "config", "xread"}) {
    CAPTURE(name);
    CHECK(how(name) == refused);
    CHECK(find_command(name)->reason.starts_with("ERR "));
  }
}
