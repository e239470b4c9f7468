// The role that serves a client.
#pragma once

#include "nc_connection.h"

rstatus_t client_recv(context& ctx, conn& c);
rstatus_t client_send(context& ctx, conn& c);
void client_close(context& ctx, conn& c) noexcept;
