// Passes what the tracer heard to stderr and to the sinks.
#include "common/trace/tracer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace {

constexpr unsigned never = ~0u;

// The verbosity from which on stderr hears of it.
[[nodiscard]] unsigned level_of(trace_event::kind what) noexcept {
  switch (what) {
    case trace_event::kind::problem: return 1;
    case trace_event::kind::listening:
    case trace_event::kind::opened:
    case trace_event::kind::closed:
    case trace_event::kind::command:
    case trace_event::kind::reply:
    case trace_event::kind::item: return 2;
    case trace_event::kind::state: return 3;
    case trace_event::kind::bytes_in:
    case trace_event::kind::bytes_out: return never;
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
  line& operator<<(int number) noexcept {
    char digits[12];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
    return *this << std::string_view(digits, static_cast<std::size_t>(end - digits));
  }

  // In one write(2), so that lines of several threads do not mix. A stderr that cannot take it loses it.
  void print() noexcept {
    if (cut_) size_ += ellipsis.copy(&bytes_[size_], ellipsis.size());
    bytes_[size_++] = '\n';
    [[maybe_unused]] const auto ignored = write(STDERR_FILENO, bytes_.data(), size_);
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

void print(const trace_event& e) noexcept {
  line out;
  switch (e.what) {
    case trace_event::kind::listening: out << "<" << e.sfd << " server listening"; break;
    case trace_event::kind::opened: out << "<" << e.sfd << " new client connection"; break;
    case trace_event::kind::closed: out << "<" << e.sfd << " connection closed."; break;
    case trace_event::kind::state: out << e.sfd << ": going from " << e.text << " to " << e.more; break;
    case trace_event::kind::command: out << "<" << e.sfd << " " << e.text; break;
    case trace_event::kind::reply: out << ">" << e.sfd << " " << e.text; break;
    case trace_event::kind::item: out << ">" << e.sfd << " sending key " << e.text; break;
    case trace_event::kind::problem:
      out << e.text;
      if (!e.more.empty()) out << ": " << e.more;
      break;
    case trace_event::kind::bytes_in:
    case trace_event::kind::bytes_out: return;
  }
  out.print();
}

}  // namespace

tracer::tracer(unsigned verbosity) noexcept { set_verbosity(verbosity); }

tracer::~tracer() = default;

void tracer::add(std::unique_ptr<trace_sink> sink) {
  sinks_.push_back(std::move(sink));
  set_verbosity(verbosity());
}

void tracer::set_verbosity(unsigned level) noexcept {
  level = std::min(level, recording - 1);
  loudness_.store(sinks_.empty() ? level : level | recording, std::memory_order_relaxed);
}

void tracer::tell(const trace_event& e) noexcept {
  if (verbosity() >= level_of(e.what)) print(e);
  for (const auto& sink : sinks_) sink->hear(e);
}

void tracer::tell_problem(int sfd, std::string_view what, int error) noexcept {
  char buffer[128];
  const std::string_view why = error == 0 ? "" : strerror_r(error, buffer, sizeof buffer);
  tell({kind::problem, sfd, what, why, static_cast<std::size_t>(error)});
}
