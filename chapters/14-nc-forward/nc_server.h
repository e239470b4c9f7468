// The server behind: its address, and the connection to it, which is made when the first request wants it.
#pragma once

#include <string>

#include "common/net/sockets.h"
#include "nc_connection.h"

struct server_pool;

// Thread: the only one. Owns: the connection to the server, as long as it lasts.
struct server : conn_owner {
  server(server_pool& p, const std::string& address);

  server_pool& pool;
  std::string name;  // its address as it was given
  net::address addr;
  conn_list s_conn_q;
};

// Clients, and where their requests go. Thread: the only one. Owns: clients' connections, listeners, the server.
struct server_pool : conn_owner {
  server_pool(context& c, const std::string& address);

  conn_list c_conn_q;  // clients
  conn_list p_conn;    // who accepts them
  server srv;
};

// The connection to the server, made if there is none. nullptr: it cannot even be begun; errno says why.
[[nodiscard]] conn* server_conn(context& ctx, server& s);

// The connection is there: what waits for it can be sent.
void server_connected(context& ctx, conn& s);

// Nobody will answer what was on its way: each client that waits hears so. Theirs remain open.
void server_close(context& ctx, conn& s) noexcept;
