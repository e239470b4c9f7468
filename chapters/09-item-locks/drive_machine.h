// The state machine: what libevent calls, and what runs the states.
#pragma once

#include <event2/event.h>

#include "states.h"

struct conn;

// libevent calls this when a connection's event fires; `arg` is the connection.
void event_handler(evutil_socket_t fd, short which, void* arg) noexcept;

// Runs the connection's states until one of them has to wait.
void drive_machine(conn& c);

// The single door for every change of state (conn_new sets the first one): the trace hears of it, and a build that
// asserts (README, "A build that asserts") stops at one that is not legal.
void conn_set_state(conn& c, conn_states state) noexcept;
