// The one place that hears of every state change, accept, byte count and close, and passes it to its sinks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

struct trace_event {
  enum class kind : std::uint8_t {
    listening,  // sfd
    opened,     // sfd: a client was accepted
    closed,     // sfd
    state,      // sfd, text -> more
    command,    // sfd, text: the command line
    reply,      // sfd, text: the reply line
    item,       // sfd, text: the key being sent
    bytes_in,   // sfd, count
    bytes_out,  // sfd, count
    problem,    // sfd or -1, text: what failed, more: why ("" where there is no error number)
  };
  kind what;
  int sfd;
  std::string_view text{};  // valid during hear() only
  std::string_view more{};
  std::size_t count = 0;
};

// Thread: heard from any thread at once.
class trace_sink {
 public:
  virtual ~trace_sink() = default;
  virtual void hear(const trace_event& e) noexcept = 0;
};

// Prints on stderr what the verbosity asks for, in memcached's own words, one write(2) a line: at 1 (-v) problems, at 2
// also connections, commands and replies, at 3 also states. A sink that was added hears everything at any verbosity.
//
// Costs one predictable branch an event while nobody listens.
// Thread: any. Sinks are added before the first thread starts. set_verbosity is one atomic store.
class tracer {
  using kind = trace_event::kind;

 public:
  explicit tracer(unsigned verbosity) noexcept;
  ~tracer();
  tracer(const tracer&) = delete;
  tracer& operator=(const tracer&) = delete;

  void add(std::unique_ptr<trace_sink> sink);
  void set_verbosity(unsigned level) noexcept;
  [[nodiscard]] unsigned verbosity() const noexcept { return loudness_.load(std::memory_order_relaxed) & ~recording; }

  void listening(int sfd) noexcept {
    if (heard(2)) tell({kind::listening, sfd});
  }
  void opened(int sfd) noexcept {
    if (heard(2)) tell({kind::opened, sfd});
  }
  void closed(int sfd) noexcept {
    if (heard(2)) tell({kind::closed, sfd});
  }
  void state(int sfd, std::string_view from, std::string_view to) noexcept {
    if (heard(3)) tell({kind::state, sfd, from, to});
  }
  void command(int sfd, std::string_view line) noexcept {
    if (heard(2)) tell({kind::command, sfd, line});
  }
  void reply(int sfd, std::string_view line) noexcept {
    if (heard(2)) tell({kind::reply, sfd, line});
  }
  void item(int sfd, std::string_view key) noexcept {
    if (heard(2)) tell({kind::item, sfd, key});
  }
  void bytes_in(int sfd, std::size_t n) noexcept {
    if (heard(recording)) tell({.what = kind::bytes_in, .sfd = sfd, .count = n});
  }
  void bytes_out(int sfd, std::size_t n) noexcept {
    if (heard(recording)) tell({.what = kind::bytes_out, .sfd = sfd, .count = n});
  }
  // `what` failed; errno, if it is meant, is passed as `error` (0: none).
  void problem(int sfd, std::string_view what, int error = 0) noexcept {
    if (heard(1)) tell_problem(sfd, what, error);
  }

 private:
  // Above every level. Added to loudness_ once there is a sink: one comparison answers for stderr and the sinks.
  static constexpr unsigned recording = 1u << 31;

  [[nodiscard]] bool heard(unsigned level) const noexcept { return loudness_.load(std::memory_order_relaxed) >= level; }
  // Cold: the compiler moves the way to them out of the caller's path.
  [[gnu::cold]] void tell(const trace_event& e) noexcept;
  [[gnu::cold]] void tell_problem(int sfd, std::string_view what, int error) noexcept;

  std::atomic<unsigned> loudness_;  // the verbosity, with `recording` added
  std::vector<std::unique_ptr<trace_sink>> sinks_;
};
