// The role that listens: its input are clients.
#pragma once

#include <vector>

#include "nc_connection.h"

struct server_pool;

// A pool's listeners: each is watched, and its descriptor added to `all`. Throws std::system_error.
void proxy_each_init(context& ctx, server_pool& pool, std::vector<int>& all);

rstatus_t proxy_recv(context& ctx, conn& p);
void proxy_close(context& ctx, conn& p) noexcept;

// A listener that ran out of descriptors has used up its edge, with clients still waiting: nobody will call it again.
// So it is tried again when a connection was closed.
void proxy_accept_again(context& ctx) noexcept;
