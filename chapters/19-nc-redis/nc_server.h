// The servers behind, and the pools that they make up: which of them has a key, the connections to it, and what happens
// when it fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/hashkit/distribution.h"
#include "common/net/sockets.h"
#include "common/nutcracker/conf.h"
#include "nc_connection.h"

struct proto;
struct server_pool;

// Thread: the loop. Owns: the connections to the server, as long as they last.
struct server : conn_owner {
  server(server_pool& p, const nutcracker::server_conf& c, std::size_t i);

  server_pool& pool;
  const nutcracker::server_conf& conf;
  std::size_t index;                 // in its pool
  std::optional<net::address> addr;  // looked up when a connection is made; none: not yet, or it was of no use
  std::uint32_t failure_count = 0;   // in a row
  msec next_retry = 0;               // ejected until then; 0, or past: it is not
  conn_list s_conn_q;                // the one to be used next is the first
};

// The file of a socket that listens. Owns: its name, which goes with it.
class socket_file {
 public:
  explicit socket_file(std::string path) : path_(std::move(path)) {}
  ~socket_file();
  socket_file(socket_file&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  socket_file& operator=(socket_file&&) = delete;

 private:
  std::string path_;
};

// Clients, and where their requests go. Thread: the loop. Owns: clients' connections, listeners, servers.
struct server_pool : conn_owner {
  server_pool(context& c, const nutcracker::pool_conf& f, std::size_t i);

  const nutcracker::pool_conf& conf;
  const ::proto& proto;
  std::size_t index;
  conn_list c_conn_q;             // clients
  conn_list p_conn;               // who accepts them
  std::vector<socket_file> file;  // of a listener that is a file
  std::vector<std::unique_ptr<server>> servers;
  std::optional<hashkit::continuum> continuum;  // of those that are not ejected
  msec next_rebuild = 0;                        // when the next of the ejected may come back; 0: none is ejected
};

// Which server has the key. nullptr: all are ejected.
[[nodiscard]] server* server_pool_server(context& ctx, server_pool& pool, std::string_view key);

// A connection to the server: of as many as the pool wants each in turn, made if there are less. nullptr: it cannot
// even be begun; errno says why.
[[nodiscard]] conn* server_conn(context& ctx, server& s);

// Makes all connections before anybody has asked (`preconnect`).
void server_pool_preconnect(context& ctx, server_pool& pool);

// The connection is there: what waits for it can be sent.
void server_connected(context& ctx, conn& s);

// It has answered: whatever it failed at before is forgotten.
void server_ok(conn& s) noexcept;

// If it has something to answer, and the pool does not wait for ever: makes sure that somebody looks whether it has.
void server_watch(context& ctx, conn& s) noexcept;
void server_unwatch(context& ctx, conn& s) noexcept;

// It has been sent a request, or we have tried, longer ago than the pool is ready to wait.
[[nodiscard]] bool server_is_late(context& ctx, const conn& s) noexcept;

// Nobody will answer what was on its way: each client that waits hears so. Theirs remain open.
void server_close(context& ctx, conn& s) noexcept;
