// Passes what the tracer heard to stderr and to the sinks.
#include "common/trace/tracer.h"

#include <event2/event.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <concepts>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "common/trace/conductor.h"
#include "common/trace/stepper.h"
#include "common/trace/trace_file.h"

static_assert(trace_timeout == EV_TIMEOUT && trace_read == EV_READ && trace_write == EV_WRITE);

namespace {

using kind = trace_event::kind;

// Of the thread that runs; empty: it is the only one. Every line needs it, from functions that know no thread.
constinit thread_local std::array<char, 16> thread_name{};

constexpr unsigned never = ~0u;

// The verbosity from which on stderr hears of it.
[[nodiscard]] unsigned level_of(kind what) noexcept {
  switch (what) {
    case kind::problem:
    case kind::timed_out:
    case kind::ejected:
    case kind::returned: return 1;
    case kind::listening:
    case kind::opened:
    case kind::closed:
    case kind::command:
    case kind::reply:
    case kind::item:
    case kind::connecting:
    case kind::connected: return 2;
    case kind::woken:
    case kind::asleep:
    case kind::call:
    case kind::state:
    case kind::dispatched:
    case kind::pushed:
    case kind::popped:
    case kind::byte_written:
    case kind::byte_read:
    case kind::muted:
    case kind::heard_again:
    case kind::registered:
    case kind::given_back:
    case kind::request:
    case kind::fragment:
    case kind::forwarded:
    case kind::response:
    case kind::answered: return 3;
    case kind::timer: return never;
  }
  return never;
}

// One line of at most 1 KiB, built without allocating. What does not fit is cut and ends in "...".
class line {
 public:
  line& operator<<(std::string_view text) noexcept {
    for (const char c : text) put(c);
    return *this;
  }
  line& operator<<(std::integral auto number) noexcept {
    char digits[24];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
    return *this << std::string_view(digits, static_cast<std::size_t>(end - digits));
  }

  // The line, and the line with its end. Nothing may be added afterwards.
  [[nodiscard]] std::string_view text() noexcept {
    if (cut_) size_ += ellipsis.copy(&bytes_[size_], ellipsis.size());
    return {bytes_.data(), size_};
  }
  [[nodiscard]] std::string_view ended() noexcept {
    const std::size_t size = text().size();
    bytes_[size] = '\n';
    return {bytes_.data(), size + 1};
  }

 private:
  static constexpr std::string_view ellipsis = "...";
  static constexpr std::size_t room = 1024 - ellipsis.size() - 1;

  // Clients send what they like: whatever is not printable ASCII is shown as \xNN, so it cannot play with the terminal.
  void put(char c) noexcept {
    static constexpr std::string_view hex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    const bool printable = byte >= 0x20 && byte < 0x7f;
    const std::size_t width = printable ? 1 : 4;
    if (cut_ || size_ + width > room) {
      cut_ = true;
      return;
    }
    if (printable) {
      bytes_[size_++] = c;
      return;
    }
    for (const char shown : {'\\', 'x', hex[byte >> 4], hex[byte & 15]}) bytes_[size_++] = shown;
  }

  std::array<char, 1024> bytes_;
  std::size_t size_ = 0;
  bool cut_ = false;
};

// "EV_READ", "EV_READ | EV_TIMEOUT", "nothing". EV_PERSIST is left out: it says how long, not what for.
void add_events(line& out, std::int64_t events) noexcept {
  struct name {
    short event;
    std::string_view text;
  };
  static constexpr name names[] = {
      {EV_READ, "EV_READ"}, {EV_WRITE, "EV_WRITE"}, {EV_TIMEOUT, "EV_TIMEOUT"}, {EV_SIGNAL, "EV_SIGNAL"}};
  std::string_view between;
  for (const name& n : names) {
    if ((events & n.event) == 0) continue;
    out << between << n.text;
    between = " | ";
  }
  if (between.empty()) out << "nothing";
}

// "EAGAIN" is a word of the lesson; other errors are told in the system's words.
void add_error(line& out, int error) noexcept {
  char buffer[128];
  if (error == EAGAIN) {
    out << "EAGAIN";
  } else {
    out << strerror_r(error, buffer, sizeof buffer);
  }
}

// "read() = 9", "read() = 0, the end", "write() = -1, EAGAIN".
void add_call(line& out, const trace_event& e) noexcept {
  out << e.text << "() = " << e.number;
  if (e.number == 0 && e.text.starts_with("read")) out << ", the end";
  if (e.number != -1) return;
  out << ", ";
  add_error(out, e.error);
}

// A byte of a notify pipe: they are letters.
[[nodiscard]] std::string_view character(const trace_event& e) noexcept {
  static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz";
  return e.number < 'a' || e.number > 'z' ? "?" : letters.substr(static_cast<std::size_t>(e.number - 'a'), 1);
}

void describe(line& out, const trace_event& e) noexcept {
  switch (e.what) {
    case kind::listening: out << "<" << e.sfd << " server listening"; break;
    case kind::opened: out << "<" << e.sfd << " new client connection"; break;
    case kind::closed: out << "<" << e.sfd << " connection closed."; break;
    case kind::command: out << "<" << e.sfd << " " << e.text; break;
    case kind::reply: out << ">" << e.sfd << " " << e.text; break;
    case kind::item: out << ">" << e.sfd << " sending key " << e.text; break;
    case kind::woken: add_events(out << e.sfd << ": woken by ", e.number); break;
    case kind::asleep: add_events(out << e.sfd << ": asleep, waiting for ", e.number); break;
    case kind::call: add_call(out << e.sfd << ": ", e); break;
    case kind::state: out << e.sfd << ": going from " << e.text << " to " << e.more; break;
    case kind::dispatched: out << e.sfd << ": for worker " << e.number; break;
    case kind::pushed: out << e.sfd << ": pushed, " << e.number << " in the queue"; break;
    case kind::popped: out << e.sfd << ": popped, " << e.number << " left in the queue"; break;
    case kind::byte_written: out << e.sfd << ": wrote the byte " << character(e); break;
    case kind::byte_read: out << e.sfd << ": read the byte " << character(e); break;
    case kind::muted: out << e.sfd << ": muted"; break;
    case kind::heard_again: out << e.sfd << ": heard again"; break;
    case kind::timer: out << "timer: " << e.text; break;
    case kind::registered: out << e.sfd << ": registered"; break;
    case kind::given_back: out << e.sfd << ": descriptor given back"; break;
    case kind::problem:
      out << e.text;
      if (e.error == 0) break;
      out << ": ";
      add_error(out, e.error);
      break;
    case kind::request: out << e.sfd << ": request " << e.number; break;
    case kind::fragment: out << "request " << e.number << ", a part of " << e.of; break;
    case kind::forwarded: out << e.sfd << ": request " << e.number << " waits to be sent"; break;
    case kind::response: out << e.sfd << ": the response to request " << e.number; break;
    case kind::answered: out << e.sfd << ": request " << e.number << " is answered"; break;
    case kind::connecting: out << "<" << e.sfd << " connecting to " << e.text; break;
    case kind::connected: out << "<" << e.sfd << " connected to " << e.text; break;
    case kind::timed_out: out << "<" << e.sfd << " " << e.text << " takes too long"; break;
    case kind::ejected: out << e.text << " is ejected"; break;
    case kind::returned: out << e.text << " takes ejected servers back"; break;
  }
}

}  // namespace

std::string_view kind_text(kind what) noexcept {
  switch (what) {
    case kind::listening: return "listening";
    case kind::opened: return "opened";
    case kind::closed: return "closed";
    case kind::command: return "command";
    case kind::reply: return "reply";
    case kind::item: return "item";
    case kind::woken: return "woken";
    case kind::asleep: return "asleep";
    case kind::call: return "call";
    case kind::state: return "state";
    case kind::dispatched: return "dispatched";
    case kind::pushed: return "pushed";
    case kind::popped: return "popped";
    case kind::byte_written: return "byte_written";
    case kind::byte_read: return "byte_read";
    case kind::muted: return "muted";
    case kind::heard_again: return "heard_again";
    case kind::timer: return "timer";
    case kind::registered: return "registered";
    case kind::given_back: return "given_back";
    case kind::problem: return "problem";
    case kind::request: return "request";
    case kind::fragment: return "fragment";
    case kind::forwarded: return "forwarded";
    case kind::response: return "response";
    case kind::answered: return "answered";
    case kind::connecting: return "connecting";
    case kind::connected: return "connected";
    case kind::timed_out: return "timed_out";
    case kind::ejected: return "ejected";
    case kind::returned: return "returned";
  }
  return "?";
}

std::optional<kind> kind_of(std::string_view text) noexcept {
  for (int i = 0; i <= static_cast<int>(kind::returned); ++i) {
    if (kind_text(static_cast<kind>(i)) == text) return static_cast<kind>(i);
  }
  return std::nullopt;
}

std::string line_of(const trace_event& e) {
  line out;
  describe(out, e);
  return std::string(out.text());
}

tracer::tracer(unsigned verbosity, const trace_options& listeners) {
  set_verbosity(verbosity);
  if (!listeners.file.empty()) add(std::make_unique<trace_file>(listeners.file));
  // The last: when one holds a thread, the others have heard why.
  if (listeners.step && !listeners.conduct.empty())
    throw std::invalid_argument("--step and --conduct: take one of them");
  if (listeners.step) add(std::make_unique<stepper>());
  if (!listeners.conduct.empty()) add(std::make_unique<conductor>(listeners.conduct));
}

tracer::~tracer() = default;

void tracer::add(std::unique_ptr<trace_sink> sink) {
  sinks_.push_back(std::move(sink));
  set_verbosity(verbosity());
}

void tracer::set_verbosity(unsigned level) noexcept {
  level = std::min(level, recording - 1);
  loudness_.store(sinks_.empty() ? level : level | recording, std::memory_order_relaxed);
}

void tracer::name_this_thread(std::string_view name) noexcept {
  thread_name[name.copy(thread_name.data(), thread_name.size() - 1)] = '\0';
}

std::string_view tracer::name_of_this_thread() noexcept { return thread_name.data(); }

void tracer::let_go() noexcept {
  for (const auto& sink : sinks_) sink->let_go();
}

void tracer::tell(const trace_event& e) noexcept {
  const int before = errno;
  if (verbosity() >= level_of(e.what)) print(e);
  for (const auto& sink : sinks_) sink->hear(e);
  errno = before;
}

// A sink that is asked later hears of the timer, too, where an earlier one stops it.
bool tracer::tell_timer(std::string_view whose) noexcept {
  const int before = errno;
  bool runs = true;
  for (const auto& sink : sinks_) runs &= sink->hear_timer({kind::timer, -1, whose});
  errno = before;
  return runs;
}

void tracer::tell(kind what, int sfd, std::int64_t number) noexcept {
  tell({.what = what, .sfd = sfd, .number = number});
}

void tracer::tell(kind what, int sfd, std::string_view text) noexcept { tell({what, sfd, text}); }

void tracer::tell_call(int sfd, std::string_view name, ssize_t result) noexcept {
  tell({.what = kind::call, .sfd = sfd, .text = name, .number = result, .error = result == -1 ? errno : 0});
}

// The loop must not wait for whoever reads stderr, and stderr cannot be made non-blocking: others may have it, too. So
// ask first. A pipe that has room at all has room for a page, which is more than a line.
void tracer::print(const trace_event& e) noexcept {
  line out;
  if (thread_name[0] != '\0') out << "[" << thread_name.data() << "] ";
  describe(out, e);

  const std::scoped_lock one_at_a_time(printing_);
  const auto taken = [](std::string_view text) {
    pollfd room{STDERR_FILENO, POLLOUT, 0};
    return poll(&room, 1, 0) == 1 && (room.revents & POLLOUT) != 0 &&
           write(STDERR_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  };
  if (lines_lost_ > 0) {
    line gap;
    gap << "(" << lines_lost_ << (lines_lost_ == 1 ? " line is" : " lines are") << " lost: nobody was reading)";
    if (taken(gap.ended())) lines_lost_ = 0;
  }
  if (lines_lost_ > 0 || !taken(out.ended())) ++lines_lost_;
}
