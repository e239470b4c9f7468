// A connection: its descriptor, its event, its state, and the bytes on their way in and out.
// New in this chapter: the states of 1.4, and a reply as a list of places in memory.
#pragma once

#include <event2/event_struct.h>

#include <cstddef>
#include <cstdint>

#include "common/net/unique_fd.h"
#include "common/storage/store.h"
#include "read_buffer.h"
#include "reply.h"
#include "states.h"

struct libevent_thread;
struct server;

// What the client asks for, as far as it has come. Owns: a reference to the item.
struct request {
  // conn_nread: a storage command waits here until its value is whole.
  storage::item_ref item;   // the object to fill; nobody else can see it yet
  char* ritem = nullptr;    // where its next byte goes (memcached 1.0 kept this in rcurr)
  std::size_t rlbytes = 0;  // how many are still to come
  storage::store_mode cmd{};
  std::uint64_t cas = 0;
  bool noreply = false;

  std::size_t sbytes = 0;  // conn_swallow: how many bytes are still to be thrown away
};

// Thread: `thread`, from conn_new to conn_close. Nobody else holds a pointer to it, so no member is locked.
// Owns: the socket, its event, and a reference to each item it holds. Without a socket it is one of its thread's
// freeconns, and has no event either.
struct conn {
  explicit conn(libevent_thread& thread);
  ~conn();
  conn(const conn&) = delete;
  conn& operator=(const conn&) = delete;

  libevent_thread& thread;
  server& srv;
  net::unique_fd sfd;
  conn_states state = conn_closed;

  read_buffer rbuf;
  ::request request;
  ::reply reply;

  short ev_flags = 0;  // what `event` waits for
  struct event event;
};

// Takes a connection from freeconns, or makes one, and arms its event: from now on libevent calls event_handler with
// it. Returns nullptr, and has closed the descriptor, when memory or libevent refuses.
conn* conn_new(libevent_thread& thread, net::unique_fd fd, conn_states init_state, short event_flags) noexcept;

// Ends the connection; what is left of it goes to freeconns.
void conn_close(conn& c) noexcept;

// Waits for other events than before. False: libevent refused, and the connection must be closed.
[[nodiscard]] bool update_event(conn& c, short new_flags) noexcept;

// Going to sleep and arming what will wake us are one act.
step wait_for(conn& c, short events, conn_states resume_in) noexcept;

// Gives back what has grown large for one command.
void conn_shrink(conn& c) noexcept;
