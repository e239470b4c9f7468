// The loop, and what every event goes through.
//
//     core_loop:  event_wait ─> core_core ─┬─ error ─> core_error ─> core_close
//                                          ├─ read ──> core_recv ─> recv
//                                          └─ write ─> core_send ─> send
//                 core_timeout ───────────────────────> core_close     servers that take too long
//                 core_flush ─────────────────────────> core_send      what this turn has left to send
//                 stats.swap                                           what this turn has counted
//
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/nutcracker/conf.h"
#include "common/nutcracker/log.h"
#include "common/nutcracker/options.h"
#include "common/pool/pool.h"
#include "common/trace/tracer.h"
#include "nc_connection.h"
#include "nc_event.h"
#include "nc_message.h"
#include "nc_server.h"
#include "nc_stats.h"

// Thread: the loop, except where a member says otherwise. Owns: all there is. Connections die before the event base
// does, and messages before the pools of their memory.
struct context {
  // Throws std::system_error.
  context(const nutcracker::options& opts, const std::vector<nutcracker::pool_conf>& conf);

  const nutcracker::options& opts;
  nutcracker::logger log;  // all threads
  tracer trace;            // all threads
  ::stats stats;           // has a thread of its own
  event_base evb;
  msec now;  // when epoll_wait returned last, or since then core_flush began
  bool stop = false;

  block_pool blocks;
  pool<msg> messages;
  std::uint64_t last_id = 0;  // of a request
  ::alarms alarms;            // when to look whether a server has answered
  std::vector<std::unique_ptr<server_pool>> pools;
  conn_owner own;  // who hears signals
  conn_list signals;
  conn* unsent = nullptr;  // have something to send since this turn of the loop; conn::next_unsent leads to the next
  conn_list closed;        // are closed since this turn
};

// Listens where the pools want it, and for signals. Tells a harness where, if the environment asks for it. Throws
// std::system_error.
void core_start(context& ctx);

// One turn: waits, handles what has happened, sends. NC_ERROR: epoll has failed.
rstatus_t core_loop(context& ctx) noexcept;

// The callback of every event: errors first, for a connection in error has nothing to say; then input, which may give
// us something to send; then output.
void core_core(conn& c, std::uint32_t events) noexcept;

// Remembers that the connection has something to send. It is sent at the end of the turn, together with whatever else
// the turn brings for it: many requests for a server leave in one writev.
void core_unsent(context& ctx, conn& c) noexcept;

// Ends a connection.
void core_close(context& ctx, conn& c) noexcept;
