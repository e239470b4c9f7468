// The role that serves a client.
#pragma once

#include "nc_connection.h"

void client_close(context& ctx, conn& c) noexcept;
