// A connection: its descriptor, its event, its state, and the bytes on their way in and out.
#pragma once

#include <event2/event_struct.h>

#include <array>
#include <string_view>

#include "common/net/unique_fd.h"
#include "read_buffer.h"
#include "states.h"

struct server;

// What the client will be told.
struct reply {
  std::array<char, data_buffer_size> wbuf;  // where a line lies
  std::string_view wcurr;                   // its unsent rest: memcached's wcurr and wbytes in one
  conn_states write_and_go = conn_read;     // the state after its last byte
};

// Thread: the only one. Owns: the socket and its event. The destructor takes the event off first: a descriptor must not
// be closed while libevent still watches it.
struct conn {
  conn(server& srv, net::unique_fd fd, conn_states init_state, short event_flags);
  ~conn();
  conn(const conn&) = delete;
  conn& operator=(const conn&) = delete;

  server& srv;
  net::unique_fd sfd;
  conn_states state;

  read_buffer rbuf;
  ::reply reply;

  short ev_flags;  // what `event` waits for
  struct event event;
};

// Makes a connection and arms its event: from now on libevent calls event_handler with it. Returns nullptr, and has
// closed the descriptor, when memory or libevent refuses.
conn* conn_new(server& srv, net::unique_fd fd, conn_states init_state, short event_flags) noexcept;

// Ends the connection: `c` is gone when this returns.
void conn_close(conn& c) noexcept;

// Waits for other events than before. False: libevent refused, and the connection must be closed.
[[nodiscard]] bool update_event(conn& c, short new_flags) noexcept;

// Going to sleep and arming what will wake us are one act.
step wait_for(conn& c, short events, conn_states resume_in) noexcept;

// Sends `line`, cut to what wbuf holds, and \r\n; then reads the next command.
step out_string(conn& c, std::string_view line) noexcept;

// Sends `line` as out_string does, unless it is empty; then the connection ends.
step close_after(conn& c, std::string_view line);
