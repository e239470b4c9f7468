// The one place that hears what the servers do: who woke up and who sleeps, every call to the kernel that moves bytes,
// every change of state, every step of a client's way from the master to its worker. It passes it to its sinks.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/trace/options.h"

// libevent's EV_TIMEOUT, EV_READ and EV_WRITE, for a program that has no libevent.
inline constexpr short trace_timeout = 0x01;
inline constexpr short trace_read = 0x02;
inline constexpr short trace_write = 0x04;

struct trace_event {
  enum class kind : std::uint8_t {
    listening,     // sfd
    opened,        // sfd: a client was accepted
    closed,        // sfd: is about to be given back to the kernel
    command,       // sfd, text: the command line
    reply,         // sfd, text: the reply line, ready to be sent
    item,          // sfd, text: the key being sent
    woken,         // sfd, number: the events that libevent reports
    asleep,        // sfd, number: the events that it waits for, text: its state, if it has just been made
    call,          // sfd, text: a call to the kernel, number: what it returned, error: errno if that was -1
    state,         // sfd, text -> more
    dispatched,    // sfd: a client, number: the worker that gets it
    pushed,        // sfd: a client, number: how many are in the queue now
    popped,        // sfd: a client, number: how many are left
    byte_written,  // sfd: the pipe, number: the byte
    byte_read,     // sfd: the pipe, number: the byte, or -1: the other end is closed
    muted,         // sfd: a listener
    heard_again,   // sfd: a listener
    timer,         // text: whose. It is due
    registered,    // sfd: the pipe of a worker, which is there, and rests if the workers are paused
    given_back,    // sfd: the kernel has the descriptor again
    problem,       // sfd or -1, text: what failed, error: errno, or 0 where none is meant
    // Of a proxy. A request, its fragments and its response are joined by the request's number.
    request,     // sfd: a client, number: of its request
    fragment,    // number: of a request for one server, of: the request that it is a part of
    forwarded,   // sfd: a server's connection, number: of a request that waits to be sent there
    response,    // sfd: a server's connection, number: of the request that it has answered
    answered,    // sfd: a client, number: of the request whose response it has been sent
    connecting,  // sfd, text: a server
    connected,   // sfd, text: a server
    timed_out,   // sfd, text: a server
    ejected,     // text: a server, which gets no keys for a while
    returned,    // text: a pool, whose ejected servers get keys again
  };
  kind what;
  int sfd;
  std::string_view text{};  // valid during hear() only
  std::string_view more{};
  std::int64_t number = 0;
  int error = 0;
  std::int64_t of = 0;
};

// "byte_read"; and the other way round, nothing if there is no such kind.
[[nodiscard]] std::string_view kind_text(trace_event::kind what) noexcept;
[[nodiscard]] std::optional<trace_event::kind> kind_of(std::string_view text) noexcept;

// The event as -vvv prints it, without the thread's name and the line's end.
[[nodiscard]] std::string line_of(const trace_event& e);

// Thread: heard from any thread at once, on the thread that does the thing. No lock of a server is held meanwhile: a
// sink may keep the thread waiting.
class trace_sink {
 public:
  virtual ~trace_sink() = default;
  virtual void hear(const trace_event& e) noexcept = 0;

  // Hears of a timer that is due. False: time stands still, and the timer must do nothing.
  [[nodiscard]] virtual bool hear_timer(const trace_event& e) noexcept {
    hear(e);
    return true;
  }

  // The server ends: whom this sink keeps waiting goes on, and from now on it keeps nobody waiting.
  virtual void let_go() noexcept {}
};

// Prints on stderr what the verbosity asks for: at 1 (-v) problems, at 2 connections, commands and replies, both in
// memcached's own words, at 3 all of the above. A sink that was added hears everything at any verbosity.
//
// Costs one predictable branch per event while nobody listens, and leaves errno as it was.
// Thread: any. Sinks are added before the first thread starts. set_verbosity is one atomic store.
class tracer {
  using kind = trace_event::kind;

 public:
  // Adds the sinks that `listeners` asks for. Throws std::system_error if one of them cannot begin.
  tracer(unsigned verbosity, const trace_options& listeners);
  ~tracer();
  tracer(const tracer&) = delete;
  tracer& operator=(const tracer&) = delete;

  void add(std::unique_ptr<trace_sink> sink);
  void set_verbosity(unsigned level) noexcept;
  [[nodiscard]] unsigned verbosity() const noexcept { return loudness_.load(std::memory_order_relaxed) & ~recording; }

  // From now on this thread's lines begin with "[name] ". At most 15 characters count.
  static void name_this_thread(std::string_view name) noexcept;
  [[nodiscard]] static std::string_view name_of_this_thread() noexcept;  // "": it has none

  // Before a server waits for its threads to end.
  void let_go() noexcept;

  void listening(int sfd) noexcept {
    if (heard(2)) tell(kind::listening, sfd);
  }
  void opened(int sfd) noexcept {
    if (heard(2)) tell(kind::opened, sfd);
  }
  void closed(int sfd) noexcept {
    if (heard(2)) tell(kind::closed, sfd);
  }
  void command(int sfd, std::string_view line) noexcept {
    if (heard(2)) tell(kind::command, sfd, line);
  }
  void reply(int sfd, std::string_view line) noexcept {
    if (heard(2)) tell(kind::reply, sfd, line);
  }
  // The same, of a line that is looked for only when somebody listens.
  template <std::invocable finder>
  void command(int sfd, finder line) noexcept {
    if (heard(2)) tell(kind::command, sfd, line());
  }
  template <std::invocable finder>
  void reply(int sfd, finder line) noexcept {
    if (heard(2)) tell(kind::reply, sfd, line());
  }
  void item(int sfd, std::string_view key) noexcept {
    if (heard(2)) tell(kind::item, sfd, key);
  }

  // `events`: libevent's EV_READ, EV_WRITE …; 0: nothing.
  void woken(int sfd, short events) noexcept {
    if (heard(3)) tell(kind::woken, sfd, events);
  }
  void asleep(int sfd, short events) noexcept {
    if (heard(3)) tell(kind::asleep, sfd, events);
  }
  // For the first time: conn_new has made it, in this state.
  template <typename states>
  void asleep(int sfd, short events, states first) noexcept {
    if (heard(3)) tell_made(sfd, events, first);
  }
  // Directly behind the call: if `result` is -1, errno says why.
  void call(int sfd, std::string_view name, ssize_t result) noexcept {
    if (heard(3)) tell_call(sfd, name, result);
  }
  // `states` has a state_text() of its own, which is asked only when somebody listens.
  template <typename states>
  void state(int sfd, std::type_identity_t<states> from, states to) noexcept {
    if (heard(3)) tell_state(sfd, from, to);
  }

  void dispatched(int sfd, int worker) noexcept {
    if (heard(3)) tell(kind::dispatched, sfd, worker);
  }
  void pushed(int sfd, std::size_t length) noexcept {
    if (heard(3)) tell(kind::pushed, sfd, static_cast<std::int64_t>(length));
  }
  void popped(int sfd, std::size_t length) noexcept {
    if (heard(3)) tell(kind::popped, sfd, static_cast<std::int64_t>(length));
  }
  void byte_written(int pipe, char byte) noexcept {
    if (heard(3)) tell(kind::byte_written, pipe, byte);
  }
  void byte_read(int pipe, char byte) noexcept {
    if (heard(3)) tell(kind::byte_read, pipe, byte);
  }

  void muted(int sfd) noexcept {
    if (heard(3)) tell(kind::muted, sfd);
  }
  void heard_again(int sfd) noexcept {
    if (heard(3)) tell(kind::heard_again, sfd);
  }
  void registered(int pipe) noexcept {
    if (heard(3)) tell(kind::registered, pipe);
  }
  // Not on stderr, where a timer that fires all the time would drown the rest. False: a listener has stopped the time,
  // and the timer must do nothing.
  [[nodiscard]] bool timer(std::string_view whose) noexcept { return !heard(recording) || tell_timer(whose); }
  void given_back(int sfd) noexcept {
    if (heard(3)) tell(kind::given_back, sfd);
  }

  // A proxy's: see the kinds.
  void request(int sfd, std::int64_t id) noexcept {
    if (heard(3)) tell(kind::request, sfd, id);
  }
  void fragment(std::int64_t id, std::int64_t of) noexcept {
    if (heard(3)) tell({.what = kind::fragment, .sfd = -1, .number = id, .of = of});
  }
  void forwarded(int sfd, std::int64_t id) noexcept {
    if (heard(3)) tell(kind::forwarded, sfd, id);
  }
  void response(int sfd, std::int64_t id) noexcept {
    if (heard(3)) tell(kind::response, sfd, id);
  }
  void answered(int sfd, std::int64_t id) noexcept {
    if (heard(3)) tell(kind::answered, sfd, id);
  }
  void connecting(int sfd, std::string_view server) noexcept {
    if (heard(2)) tell(kind::connecting, sfd, server);
  }
  void connected(int sfd, std::string_view server) noexcept {
    if (heard(2)) tell(kind::connected, sfd, server);
  }
  void timed_out(int sfd, std::string_view server) noexcept {
    if (heard(1)) tell(kind::timed_out, sfd, server);
  }
  void ejected(std::string_view server) noexcept {
    if (heard(1)) tell(kind::ejected, -1, server);
  }
  void returned(std::string_view pool) noexcept {
    if (heard(1)) tell(kind::returned, -1, pool);
  }

  // `what` failed; errno, if it is meant, is passed as `error` (0: none).
  void problem(int sfd, std::string_view what, int error = 0) noexcept {
    if (heard(1)) tell({.what = kind::problem, .sfd = sfd, .text = what, .error = error});
  }

 private:
  // Above every level. Added to loudness_ once there is a sink: one comparison answers for stderr and the sinks.
  static constexpr unsigned recording = 1u << 31;

#ifdef WITHOUT_TRACE
  static constexpr bool heard(unsigned) noexcept { return false; }
#else
  [[nodiscard]] bool heard(unsigned level) const noexcept { return loudness_.load(std::memory_order_relaxed) >= level; }
#endif
  // Cold, and with arguments that fit into registers: the caller's path has one branch more, and no larger frame.
  [[gnu::cold]] void tell(kind what, int sfd, std::int64_t number = 0) noexcept;
  [[gnu::cold]] void tell(kind what, int sfd, std::string_view text) noexcept;
  [[gnu::cold]] void tell_call(int sfd, std::string_view name, ssize_t result) noexcept;
  [[gnu::cold]] bool tell_timer(std::string_view whose) noexcept;
  template <typename states>
  [[gnu::cold, gnu::noinline]] void tell_state(int sfd, states from, states to) noexcept {
    tell({kind::state, sfd, state_text(from), state_text(to)});
  }
  template <typename states>
  [[gnu::cold, gnu::noinline]] void tell_made(int sfd, short events, states first) noexcept {
    tell({.what = kind::asleep, .sfd = sfd, .text = state_text(first), .number = events});
  }
  [[gnu::cold]] void tell(const trace_event& e) noexcept;
  void print(const trace_event& e) noexcept;

  std::atomic<unsigned> loudness_;  // the verbosity, with `recording` added
  std::vector<std::unique_ptr<trace_sink>> sinks_;
  std::mutex printing_;           // guards stderr, so that lines of several threads do not mix, and what follows
  unsigned long lines_lost_ = 0;  // since the last line that stderr took
};
