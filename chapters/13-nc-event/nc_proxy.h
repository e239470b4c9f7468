// The role that listens: its input are clients.
#pragma once

#include "common/net/unique_fd.h"
#include "nc_connection.h"

// Watches a listening socket. Throws std::system_error.
void proxy_listen(context& ctx, net::unique_fd socket);

rstatus_t proxy_recv(context& ctx, conn& p);
void proxy_close(context& ctx, conn& p) noexcept;

// A listener that ran out of descriptors has used up its edge, with clients still waiting: nobody will call it again.
// So it is tried again when a connection was closed.
void proxy_accept_again(context& ctx) noexcept;
