// An event base of our own, over epoll. There is no libevent in this chapter: this is what it had been doing.
//
//     core_loop -> event_wait -> epoll_wait -> core_core(conn, events)
//
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/trace/tracer.h"

struct conn;

// Milliseconds of a clock that never goes back.
using msec = std::int64_t;
[[nodiscard]] msec msec_now() noexcept;

// How many events one epoll_wait brings at most.
inline constexpr int EVENT_SIZE = 1024;

// What has happened, as event_base::cb is told: several at once may have.
inline constexpr std::uint32_t EVENT_READ = 0x0000ff;
inline constexpr std::uint32_t EVENT_WRITE = 0x00ff00;
inline constexpr std::uint32_t EVENT_ERR = 0xff0000;
// Not in twemproxy: the peer sends no more, so read to the very end.
inline constexpr std::uint32_t EVENT_END = 0xff000000;

// The same in the trace's terms.
[[nodiscard]] constexpr short event_readiness(std::uint32_t events) noexcept {
  const int in = (events & (EVENT_READ | EVENT_END | EVENT_ERR)) != 0 ? trace_read : 0;
  const int out = (events & EVENT_WRITE) != 0 ? trace_write : 0;
  return static_cast<short>(in | out);
}

using event_cb_t = void (*)(conn& c, std::uint32_t events) noexcept;

// Thread: the loop. Owns: the epoll descriptor, and the room for its events.
struct event_base {
  net::unique_fd ep;
  std::vector<epoll_event> event;
  event_cb_t cb;  // one for all: the connection knows what it is
};

// For up to `nevent` events a time. Throws std::system_error.
[[nodiscard]] event_base event_base_create(int nevent, event_cb_t cb);

// Watches a connection for all that can happen to it: input, room for output, and their edges only. A connection is
// added once. False: the kernel has no memory for it, or allows no more (fs.epoll.max_user_watches).
[[nodiscard]] bool event_add_conn(event_base& evb, conn& c) noexcept;

// Looks away from it. Its descriptor must still be open.
void event_del_conn(event_base& evb, conn& c) noexcept;

// Watches or ignores one direction. Each change makes the kernel look anew: what is ready when event_add_* is called is
// an edge again.
void event_add_in(event_base& evb, conn& c) noexcept;
void event_del_in(event_base& evb, conn& c) noexcept;
void event_add_out(event_base& evb, conn& c) noexcept;
void event_del_out(event_base& evb, conn& c) noexcept;

// Changes nothing, and so is an edge for whatever input has been left unread on purpose.
void event_again(event_base& evb, conn& c) noexcept;

// Waits for events, up to `timeout` ms (-1: for ever), and calls evb.cb with each. Returns how many there were, or -1
// when epoll itself has failed. `now`: when it woke, before anything was called.
[[nodiscard]] int event_wait(event_base& evb, int timeout, msec& now) noexcept;
