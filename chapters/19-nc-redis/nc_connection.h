// A connection is a set of handlers, chosen when it is made by what it is for: to accept clients, to serve one, or to
// ask a server behind. The event loop knows none of these; it calls `recv` and `send`.
//
//                 a client               the proxy                  a server
//     recv        msg_recv               proxy_recv                 msg_recv
//     recv_next   req_recv_next             –                       rsp_recv_next
//     recv_done   req_recv_done             –                       rsp_recv_done
//     send        msg_send                  –                       msg_send
//     send_next   rsp_send_next             –                       req_send_next
//     send_done   rsp_send_done             –                       req_send_done
//     close       client_close           proxy_close                server_close
//
// What comes from a client are requests, and what goes to it are responses; with a server it is the other way round.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>

#include "common/net/unique_fd.h"
#include "common/pool/linked_queue.h"
#include "nc_event.h"
#include "nc_mbuf.h"

struct conn;
struct context;
struct msg;
struct server;
struct server_pool;

// NC_ERROR: the connection is of no more use; its `err` says why.
enum class [[nodiscard]] rstatus_t{NC_OK, NC_ERROR};
using enum rstatus_t;

using msg_ref = share<msg>;
using msg_queue = linked_queue<msg>;
using conn_list = std::list<conn>;
using alarms = std::multimap<msec, conn*>;

// Whom a connection belongs to: a client to its pool, as the pool's listeners do, and a server's to the server.
struct conn_owner {
  explicit conn_owner(context& c) : ctx(c) {}
  context& ctx;
};

enum class conn_role : unsigned char { proxy, client, server, signals };

// nullptr: not for such a connection.
struct conn_handlers {
  rstatus_t (*recv)(context& ctx, conn& c) = nullptr;  // there is input
  msg* (*recv_next)(context& ctx, conn& c) = nullptr;  // which message it belongs to; nullptr: none is wanted now
  void (*recv_done)(context& ctx, conn& c) = nullptr;  // that message is whole

  rstatus_t (*send)(context& ctx, conn& c) = nullptr;  // there is something to send
  msg* (*send_next)(context& ctx, conn& c) = nullptr;  // the message after c.smsg that can be sent; nullptr: none
  void (*send_done)(context& ctx, conn& c) = nullptr;  // the first one has been sent whole

  void (*close)(context& ctx, conn& c) noexcept = nullptr;
};

// Thread: the loop. Owns: the socket, what has been read from it, and a share of each message in its queues. It is
// owned by a list of its pool's or server's, and from conn_put to the end of the loop's turn by context::closed:
// context::unsent may still name it.
struct conn {
  conn(conn_role r, conn_owner& o);
  ~conn();
  conn(const conn&) = delete;
  conn& operator=(const conn&) = delete;

  const conn_handlers* handlers;
  conn_role role;
  net::unique_fd sd;  // none: it is closed
  conn_owner* owner;
  conn_list* home = nullptr;  // in which list it is, and where
  conn_list::iterator self;

  mbuf rbuf;
  std::size_t swallow = 0;    // so many bytes of a refused value are to be thrown away
  msg_ref rmsg;               // the message that is being received
  msg_queue imsg_q;           // a server's: requests on their way to it
  msg_queue omsg_q;           // a server's: requests that it has not answered. A client's: its requests, in their order
  msg* smsg = nullptr;        // msg_send: the message that send_next gave last
  msg* unanswered = nullptr;  // a client's: the first of its requests without a response
  std::size_t owed_bytes = 0;    // a client's: of how many bytes the responses are that wait for it
  std::size_t queued_bytes = 0;  // a server's: of how many bytes the requests in imsg_q are

  int err = 0;                  // why it must be closed (errno)
  std::uint32_t events = 0;     // what has happened, as core_core was told
  bool recv_active = false;     // epoll watches its input
  bool recv_ready = false;      // and there may be some: cleared when a read has found the end of it
  bool send_active = false;     // epoll watches for room for its output
  bool send_ready = true;       // and there may be some: cleared when a write has found none
  bool connecting = false;      // to the server, and it has not answered yet
  bool held_back = false;       // a client that is not listened to: it is owed too much, or its server is behind
  bool unsent = false;          // it is in context::unsent
  bool eof = false;             // nothing more comes from there
  bool done = false;            // it can be closed
  conn* waits_for = nullptr;    // a client that is held back: for this server's connection to catch up
  conn* next_unsent = nullptr;  // who comes after it in context::unsent
  std::optional<alarms::iterator> alarm;  // a server's that has something to answer: when to look whether it has

  // In a pool of redis.
  bool authenticated = false;  // a client that has said the password
  std::size_t greetings = 0;   // a server's: so many of the proxy's own requests come before those of clients
};

// Makes a connection of this role for its owner, in the list.
conn& conn_get(conn_owner& owner, conn_list& list, conn_role role);

[[nodiscard]] context& conn_to_ctx(const conn& c) noexcept;
[[nodiscard]] server& server_of(const conn& s) noexcept;     // of a server's connection
[[nodiscard]] server_pool& pool_of(const conn& c) noexcept;  // of any but who hears signals

// Moves the connection to another list. Pointers to it stay good.
void conn_move(conn& c, conn_list& to) noexcept;

// Closes its socket, and leaves the rest to the end of the turn.
void conn_put(context& ctx, conn& c) noexcept;

// Reads. Returns how many bytes; 0: no more for now, or ever (`eof`); -1: `err` says why.
[[nodiscard]] ssize_t conn_recv(context& ctx, conn& c, std::span<char> room) noexcept;

// Writes. Returns how many bytes; 0: no room now; -1: `err` says why.
[[nodiscard]] ssize_t conn_sendv(context& ctx, conn& c, std::span<const iovec> iov) noexcept;
