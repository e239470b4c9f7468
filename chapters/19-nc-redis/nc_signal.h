// Signals as input. A handler may interrupt anything and is allowed next to nothing; a signalfd is a descriptor like
// any other, and reading it a connection's `recv`.
#pragma once

#include "nc_connection.h"

// From now on these are read; they are held already (hold_signals), and so they interrupt nobody: SIGINT, SIGQUIT and
// SIGTERM end the proxy, SIGHUP opens its log anew, SIGTTIN and SIGTTOU make it say more or less. Throws
// std::system_error.
void signal_init(context& ctx);

rstatus_t signal_recv(context& ctx, conn& c);
void signal_close(context& ctx, conn& c) noexcept;
