// A connection: its descriptor, its event, its state, and the bytes on their way in and out.
// New in this chapter: a connection is found by its descriptor, and knows its transport.
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

enum class network_transport : unsigned char {
  local_transport,  // a unix socket
  tcp_transport,
  udp_transport,
};
using enum network_transport;

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

// Thread: `thread`, from conn_new to conn_close; no member is locked. Owns: the socket, its event, and a reference to
// each item it holds. Without a socket it is closed, and has no event either.
struct conn {
  explicit conn(server& srv);
  ~conn();
  conn(const conn&) = delete;
  conn& operator=(const conn&) = delete;

  server& srv;
  libevent_thread* thread = nullptr;  // whose it is; may be another one each time
  net::unique_fd sfd;
  conn_states state = conn_closed;
  network_transport transport = tcp_transport;

  read_buffer rbuf;
  ::request request;
  ::reply reply;

  short ev_flags = 0;  // what `event` waits for
  struct event event;
};

// Takes the connection that belongs to the descriptor, or makes it, and arms its event: from now on libevent calls
// event_handler with it. Returns nullptr, and has closed the descriptor, when memory or libevent refuses.
conn* conn_new(libevent_thread& thread, net::unique_fd fd, conn_states init_state, short event_flags,
               std::size_t read_buffer_size, network_transport transport) noexcept;

// Ends the connection; what is left of it stays in server::conns.
void conn_close(conn& c) noexcept;

// Waits for other events than before. False: libevent refused, and the connection must be closed.
[[nodiscard]] bool update_event(conn& c, short new_flags) noexcept;

// Going to sleep and arming what will wake us are one act.
step wait_for(conn& c, short events, conn_states resume_in) noexcept;

// Gives back what has grown large for one command.
void conn_shrink(conn& c) noexcept;
