// The loop, and what every event goes through.
//
//     core_loop:  event_wait ─> core_core ─┬─ error ─> core_error ─> core_close
//                                          ├─ read ──> core_recv ─> recv
//                                          └─ write ─> core_send ─> send
//
#pragma once

#include <cstdint>
#include <vector>

#include "common/settings/settings.h"
#include "common/trace/tracer.h"
#include "nc_connection.h"
#include "nc_event.h"

// Thread: the only one. Owns: all there is. Connections die before the event base does.
struct context {
  // Throws std::system_error.
  explicit context(const settings& opts);

  const settings& opts;
  tracer trace;
  event_base evb;
  int timeout = -1;  // of event_wait, in ms
  bool stop = false;

  conn_owner own;      // owns all connections
  conn_list c_conn_q;  // clients
  conn_list p_conn;    // who accepts them
  conn_list signals;   // who hears signals
  conn_list closed;    // are closed since this turn of the loop: the kernel may still name them
};

// Watches these sockets, and listens for signals. Tells a harness where, if the environment asks for it. Throws
// std::system_error.
void core_start(context& ctx, std::vector<net::unique_fd> sockets);

// One turn: waits, and handles what has happened. NC_ERROR: epoll has failed.
rstatus_t core_loop(context& ctx) noexcept;

// The callback of every event: errors first, for a connection in error has nothing to say; then input, which may give
// us something to send; then output.
void core_core(conn& c, std::uint32_t events) noexcept;

// Ends a connection.
void core_close(context& ctx, conn& c) noexcept;
