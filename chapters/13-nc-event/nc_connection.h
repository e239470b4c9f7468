// A connection is a set of handlers, chosen when it is made by what it is for: to accept clients, to serve one, or to
// hear signals. The event loop knows none of these; it calls `recv` and `send`.
//
//                 a client               the proxy              signals
//     recv        client_recv            proxy_recv             signal_recv
//     send        client_send               –                      –
//     close       client_close           proxy_close            signal_close
//
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <list>
#include <span>
#include <string>

#include "common/net/unique_fd.h"

struct conn;
struct context;

// NC_ERROR: the connection is of no more use; its `err` says why.
enum class [[nodiscard]] rstatus_t{NC_OK, NC_ERROR};
using enum rstatus_t;

using conn_list = std::list<conn>;

// Whom a connection belongs to.
struct conn_owner {
  explicit conn_owner(context& c) : ctx(c) {}
  context& ctx;
};

enum class conn_role : unsigned char { proxy, client, signals };

// nullptr: not for such a connection.
struct conn_handlers {
  rstatus_t (*recv)(context& ctx, conn& c) = nullptr;  // there is input
  rstatus_t (*send)(context& ctx, conn& c) = nullptr;  // there is something to send
  void (*close)(context& ctx, conn& c) noexcept = nullptr;
};

// Thread: the only one. Owns: the socket, and the bytes that come and go. It is owned by one of the context's lists,
// and from conn_put to the end of the loop's turn by context::closed.
struct conn {
  conn(conn_role r, conn_owner& o) noexcept;

  const conn_handlers* handlers;
  conn_role role;
  net::unique_fd sd;  // none: it is closed
  conn_owner* owner;
  conn_list* home = nullptr;  // in which list it is, and where
  conn_list::iterator self;

  std::string rbuf;  // what has been read, and is not a whole line yet
  std::string wbuf;  // what is to be sent

  int err = 0;               // why it must be closed (errno)
  std::uint32_t events = 0;  // what has happened, as core_core was told
  bool recv_active = false;  // epoll watches its input
  bool recv_ready = false;   // and there may be some: cleared when a read has found the end of it
  bool send_active = false;  // epoll watches for room for its output
  bool send_ready = true;    // and there may be some: cleared when a write has found none
  bool eof = false;          // nothing more comes from there
  bool done = false;         // it can be closed
};

// Makes a connection of this role for its owner, in the list.
conn& conn_get(conn_owner& owner, conn_list& list, conn_role role);

[[nodiscard]] context& conn_to_ctx(const conn& c) noexcept;

// Moves the connection to another list. Pointers to it stay good.
void conn_move(conn& c, conn_list& to) noexcept;

// Closes its socket, and leaves the rest to the end of the turn.
void conn_put(context& ctx, conn& c) noexcept;

// Reads. Returns how many bytes; 0: no more for now, or ever (`eof`); -1: `err` says why.
[[nodiscard]] ssize_t conn_recv(context& ctx, conn& c, std::span<char> room) noexcept;

// Writes. Returns how many bytes; 0: no room now; -1: `err` says why.
[[nodiscard]] ssize_t conn_sendv(context& ctx, conn& c, std::span<const iovec> iov) noexcept;
