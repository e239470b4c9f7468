// The role that serves a client.
#pragma once

#include "nc_connection.h"

void client_close(context& ctx, conn& c) noexcept;
// It is owed a reply.
[[nodiscard]] bool client_active(const conn& c);
void client_ref(conn& c, conn_owner& owner);
void client_unref(context& ctx, conn& c);
