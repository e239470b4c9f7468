// Fuzz target: how a proxy cuts requests and replies of Redis out of a stream that comes in any pieces. A second,
// slower reading of the protocol, which has all bytes before it, says where each of them ends.
#include "common/protocol/redis.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/conversation.h"

namespace {

using namespace protocol::redis;

// An input is a plan of eight bytes, and then the stream. The first byte says whether it is a client's or a server's;
// the others, over and over, how many bytes come at once (0: all that are left).
constexpr std::size_t plan_size = 8;

struct frame_seen {
  std::string bytes;
  std::string key;
  std::string error;
  std::vector<std::uint32_t> keys;
  bool operator==(const frame_seen&) const = default;
};

bool lies_within(std::string_view part, std::string_view whole) {
  return part.empty() || (std::less_equal<>()(whole.data(), part.data()) &&
                          std::less_equal<>()(part.data() + part.size(), whole.data() + whole.size()));
}

step read_frame(request_frame& f, std::string_view shown) { return frame_request(f, shown); }
step read_frame(reply_frame& f, std::string_view shown) { return frame_reply(f, shown); }

frame_seen seen(const request_frame& f, std::string bytes) {
  frame_seen all{std::move(bytes), std::string(f.key), f.error.empty() ? "" : answer_to(f), {}};
  for (std::uint32_t i = 0; f.error.empty() && i < f.words; ++i) {
    if (is_key(f, i)) all.keys.push_back(i);
  }
  return all;
}

frame_seen seen(const reply_frame&, std::string bytes) { return {std::move(bytes), "", "", {}}; }

// Reads one frame after the other.
template <typename Frame>
class reader {
 public:
  void read(std::string_view come) {
    unread_ += come;
    while (!broken_) {
      // Exactly as much memory as it needs: whoever reads beyond is caught. It stays, for the key lies in it.
      const std::string& shown = shown_.emplace_back(unread_);
      const step s = read_frame(frame_, shown);
      if (s.bytes > shown.size()) fuzz::fail("it takes more than there is:\n" + shown);
      begun_ += unread_.substr(0, s.bytes);
      unread_.erase(0, s.bytes);
      broken_ = s.so_far == progress::broken;
      if (s.so_far != progress::whole) return;
      if (begun_.empty()) fuzz::fail("a frame of no bytes");
      frames_.push_back(seen(frame_, begun_));
      check_key();
      frame_ = {};
      begun_.clear();
      shown_.clear();
    }
  }

  [[nodiscard]] const std::vector<frame_seen>& frames() const { return frames_; }
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] std::string rest() const { return begun_ + unread_; }

 private:
  void check_key() const {
    if constexpr (requires { frame_.key; }) {
      for (const std::string& bytes : shown_) {
        if (lies_within(frame_.key, bytes)) return;
      }
      fuzz::fail("the key lies nowhere");
    }
  }

  Frame frame_;
  std::string unread_;
  std::string begun_;  // the bytes of a frame that is not whole
  std::list<std::string> shown_;
  std::vector<frame_seen> frames_;
  bool broken_ = false;
};

// --- The second reading ---

std::optional<std::string_view> cut_line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  if (end == std::string_view::npos || text.substr(0, end).find('\n') != std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

std::optional<long> number_behind(char type, std::string_view line) {
  if (!line.starts_with(type)) return std::nullopt;
  long number = 0;
  const auto [stop, error] = std::from_chars(line.data() + 1, line.data() + line.size(), number);
  if (error != std::errc{} || std::to_string(number) != line.substr(1)) return std::nullopt;
  return number;
}

bool cut_value(std::string_view& text, long size) {
  const auto length = static_cast<std::size_t>(size);
  if (size < 0 || text.size() < length + 2 || text.substr(length, 2) != "\r\n") return false;
  text.remove_prefix(length + 2);
  return true;
}

bool cut_reply(std::string_view& text, std::size_t depth = 0) {
  const auto line = cut_line(text);
  if (!line || line->empty()) return false;
  if (line->front() == '+' || line->front() == '-') return true;
  if (line->front() == ':') return number_behind(':', *line).has_value();
  if (const auto size = number_behind('$', *line)) return *size == -1 || cut_value(text, *size);
  const auto elements = number_behind('*', *line);
  if (!elements || *elements < -1 || (*elements > 0 && depth == most_depth)) return false;
  for (long i = 0; i < *elements; ++i) {
    if (!cut_reply(text, depth + 1)) return false;
  }
  return true;
}

bool cut_request(std::string_view& text) {
  if (!text.starts_with('*')) {  // of one line, whose end may be a lone '\n'
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line.empty() || (line.size() == 4 && find_command(line) == find_command("ping"));
  }
  const auto line = cut_line(text);
  const auto count = line ? number_behind('*', *line) : std::nullopt;
  if (!count) return false;
  for (long i = 0; i < *count; ++i) {
    const auto header = cut_line(text);
    const auto size = header ? number_behind('$', *header) : std::nullopt;
    if (!size || !cut_value(text, *size)) return false;
  }
  return true;
}

// Each frame is one by the second reading, too; and what is left begins with none.
template <typename Frame>
void check(const reader<Frame>& r, bool (*cut)(std::string_view&)) {
  for (const frame_seen& f : r.frames()) {
    std::string_view text = f.bytes;
    if (!cut(text) || !text.empty()) fuzz::fail("this is not one frame:\n" + f.bytes);
  }
  const std::string rest = r.rest();
  std::string_view text = rest;
  if (cut(text)) fuzz::fail("a frame was not seen:\n" + rest);
}

template <typename Frame>
void run(std::span<const std::uint8_t> plan, std::string_view input, bool (*cut)(std::string_view&)) {
  reader<Frame> at_once;
  at_once.read(input);
  check(at_once, cut);

  reader<Frame> in_pieces;
  std::string_view left = input;
  for (std::size_t i = 0; !left.empty(); ++i) {
    const std::size_t wanted = plan[i % plan.size()];
    const std::string_view piece = left.substr(0, wanted == 0 ? left.size() : wanted);
    in_pieces.read(piece);
    left.remove_prefix(piece.size());
  }
  if (in_pieces.frames() != at_once.frames()) fuzz::fail("what the frames are hangs on how they come");
  if (in_pieces.broken() != at_once.broken()) fuzz::fail("whether this is an error hangs on how it comes");
}

bool cut_one_reply(std::string_view& text) { return cut_reply(text); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < plan_size) return 0;
  const std::span<const std::uint8_t> plan(data + 1, plan_size - 1);
  const std::string_view input(reinterpret_cast<const char*>(data) + plan_size, size - plan_size);
  if ((data[0] & 1) != 0) {
    run<request_frame>(plan, input, cut_request);
  } else {
    run<reply_frame>(plan, input, cut_one_reply);
  }
  return 0;
}
