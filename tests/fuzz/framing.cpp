// Fuzz target: what a proxy takes for one request must be one request to a server too, and what the server says to it
// one reply. The server is the text protocol over a real store; the proxy is common/protocol/framing.h.
#include "common/protocol/framing.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/protocol/environment.h"
#include "common/protocol/outcome.h"
#include "common/protocol/text.h"
#include "common/storage/store.h"
#include "tests/fuzz/conversation.h"

namespace {

using protocol::frame_reply;
using protocol::frame_request;
using protocol::request_frame;
using protocol::request_kind;

// A value that the input is too short for is made longer, up to here. Larger ones are not looked at.
constexpr std::size_t most_padding = 4096;

storage::options small_items() {
  storage::options opts;
  opts.item_size_max = fuzz::item_size_max;
  opts.hash_power = 1;
  return opts;
}

[[noreturn]] void fail(std::string_view what, std::string_view request, std::string_view reply = "") {
  const auto shown = [](std::string_view bytes) { return std::string(bytes.substr(0, 400)); };
  fuzz::fail(std::string(what) + "\nThe proxy sent:\n" + shown(request) + "\nThe server said:\n" + shown(reply));
}

// A server, asked one request at a time.
class server {
 public:
  explicit server(storage::store& store)
      : env_{store, commands_, true, {}, [](std::string_view group, const add_stat& add) {
               add("group", group);
               return group.empty() || group == "settings";
             }} {}

  // Everything that it says to `line`, whose end is not part of it, and to the value behind it.
  std::string answer(std::string_view line, std::string_view value) {
    said_.clear();
    protocol::process_command(env_, line, out_, items_);
    const std::size_t wanted = act(value);
    if (wanted != value.size()) {
      fail("the server wants a value of " + std::to_string(wanted) + " bytes",
           std::string(line) + "\r\n" + std::string(value), said_);
    }
    return said_;
  }

 private:
  // Returns how long a value it wants.
  std::size_t act(std::string_view value) {
    using enum protocol::outcome::kind;
    switch (out_.what) {
      case reply_line: say(out_.line); return 0;
      case reply_text: said_ = out_.text; return 0;
      case send_items: say_items(); return 0;
      case want_value: return take(value);
      case skip_value:
        if (!out_.line.empty()) say(out_.line);
        return out_.swallow_bytes;
      case nothing: return 0;
      case hang_up: fail("the server hangs up", "");
    }
    return 0;
  }

  std::size_t take(std::string_view value) {
    storage::item_ref item = std::move(out_.item);
    const std::span<char> room = item->data();
    if (room.size() != value.size()) return room.size();
    std::ranges::copy(value, room.begin());
    protocol::complete_value(env_, std::move(item), out_.mode, out_.cas, out_.noreply, out_);
    if (out_.what == protocol::outcome::kind::reply_line) say(out_.line);
    return value.size();
  }

  void say(std::string_view line) { said_.append(line).append("\r\n"); }

  void say_items() {
    for (const storage::item_ref& ref : items_) {
      const storage::item& it = *ref;
      said_.append("VALUE ").append(it.key_and_suffix());
      if (out_.with_cas) said_.insert(said_.size() - 2, " " + std::to_string(it.cas));
      const std::span<const char> data = it.data();
      said_.append(data.begin(), data.end());
    }
    say("END");
  }

  protocol::command_stats commands_;
  protocol::environment env_;
  protocol::outcome out_;
  std::vector<storage::item_ref> items_;
  std::string said_;
};

struct piece {
  std::string_view line;  // without its end
  std::size_t size;       // with it
};

// As the proxies cut lines: a lone '\n' ends one as well. nullopt: no end.
std::optional<piece> first_line(std::string_view input) {
  const std::size_t end = input.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = input.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return piece{line, end + 1};
}

bool lies_within(std::string_view part, std::string_view whole) {
  return part.empty() || (std::less_equal<>()(whole.data(), part.data()) &&
                          std::less_equal<>()(part.data() + part.size(), whole.data() + whole.size()));
}

// The reply takes up the whole of `bytes`, and nothing is left over or missing.
bool is_one_reply(std::string_view bytes) {
  for (;;) {
    const auto line = first_line(bytes);
    if (!line) return false;
    const protocol::reply_frame frame = frame_reply(line->line);
    bytes.remove_prefix(line->size);
    if (!frame.valid || frame.value_bytes > bytes.size()) return false;
    bytes.remove_prefix(frame.value_bytes);
    if (frame.last) return bytes.empty();
  }
}

void check_frame(const request_frame& frame, std::string_view line) {
  if (!lies_within(frame.command, line) || !lies_within(frame.key, line)) fail("a view leaves the line", line);
  const bool passed_on = frame.refusal.empty();
  if (!passed_on && !is_one_reply(frame.refusal)) fail("the refusal is no reply", line, frame.refusal);
  if (passed_on && frame.kind == request_kind::keyed && frame.key.empty()) fail("a key is missing", line);
}

void check_length(std::string_view line) {
  if (protocol::line_too_long(line)) fail("the server would hang up on the line", line);
}

void converse(server& behind, std::string_view input) {
  while (const auto begin = first_line(input)) {
    // Exactly as much memory as it needs: whoever reads beyond is caught.
    const std::string line(begin->line);
    input.remove_prefix(begin->size);
    const request_frame frame = frame_request(line);
    check_frame(frame, line);
    if (frame.kind == request_kind::quit) return;

    std::string value(input.substr(0, frame.value_bytes));
    input.remove_prefix(value.size());
    if (frame.value_bytes - value.size() > most_padding) return;
    value.resize(frame.value_bytes, 'x');
    if (!frame.refusal.empty()) continue;

    check_length(line);
    const std::string reply = behind.answer(line, value);
    if (frame.noreply ? !reply.empty() : !is_one_reply(reply)) {
      fail(frame.noreply ? "there must be no reply" : "it must be one reply", line + "\r\n" + value, reply);
    }
  }
}

// Of a server that says anything.
void check_replies(std::string_view input) {
  while (const auto begin = first_line(input)) {
    const std::string line(begin->line);
    const protocol::reply_frame frame = frame_reply(line);
    if (frame.item && frame.last) fail("an item cannot be the last line", "", line);
    if (frame.valid && frame.item != (frame.value_bytes >= 2)) fail("a value has at least its line end", "", line);
    input.remove_prefix(begin->size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_replies(input);
  storage::store store(small_items());
  store.set_time(fuzz::now);
  server behind(store);
  converse(behind, input);
  return 0;
}
