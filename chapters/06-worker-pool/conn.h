// A connection: its descriptor, its event, its state, and the bytes on their way in and out.
// New in this chapter: a connection belongs to a thread.
#pragma once

#include <event2/event_struct.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/storage/store.h"
#include "read_buffer.h"
#include "states.h"

struct libevent_thread;
struct server;

// Which part of a reply comes next in conn_mwrite. The numbers are memcached 1.0's.
enum class iparts {
  header = 0,  // "VALUE …" of the current item
  value = 1,   // its value
  next = 2,    // its value is sent: let the item go and take the next one
};

// A longer ilist than this is given back after use.
inline constexpr std::size_t item_list_highwat = 400;

// What the client asks for, as far as it has come. Owns: a reference to the item.
struct request {
  // conn_nread: a storage command waits here until its value is whole.
  storage::item_ref item;   // the object to fill; nobody else can see it yet
  char* ritem = nullptr;    // where its next byte goes (memcached 1.0 kept this in rcurr)
  std::size_t rlbytes = 0;  // how many are still to come
  storage::store_mode cmd{};
  std::uint64_t cas = 0;
  bool noreply = false;

  std::size_t sbytes = 0;  // conn_swallow: how many bytes are still to be thrown away
};

// What the client will be told. Owns: a reference to each item in it.
struct reply {
  std::array<char, data_buffer_size> wbuf;  // where a line lies
  std::string_view wcurr;                   // its unsent rest: memcached's wcurr and wbytes in one
  conn_states write_and_go = conn_read;     // the state after its last byte
  std::string write_and_free;               // a reply too long for wbuf; freed when it is sent

  // conn_mwrite: the items stay where they are; each reference keeps one from being freed while it is sent.
  std::vector<storage::item_ref> ilist;  // what a get has found
  std::size_t icurr = 0;                 // the one being sent; memcached's ileft is what stands behind it
  iparts ipart = iparts::header;         // what of it comes next
  std::string_view iptr;                 // the unsent rest of the part before: memcached's iptr and ibytes in one
  std::string ibuf;                      // the header line
  bool with_cas = false;                 // gets: the header ends in the cas number

  // Lets go of what was not sent.
  void clear() noexcept;
};

// Thread: `thread`, from conn_new to conn_close. Nobody else holds a pointer to it, so no member is locked.
// Owns: the socket, its event, and a reference to each item it holds. Without a socket it is one of its thread's
// freeconns, and has no event either.
struct conn {
  explicit conn(libevent_thread& thread);
  ~conn();
  conn(const conn&) = delete;
  conn& operator=(const conn&) = delete;

  libevent_thread& thread;
  server& srv;
  net::unique_fd sfd;
  conn_states state = conn_closing;

  read_buffer rbuf;
  ::request request;
  ::reply reply;

  short ev_flags = 0;  // what `event` waits for
  struct event event;
};

// Takes a connection from freeconns, or makes one, and arms its event: from now on libevent calls event_handler with
// it. Returns nullptr, and has closed the descriptor, when memory or libevent refuses.
conn* conn_new(libevent_thread& thread, net::unique_fd fd, conn_states init_state, short event_flags) noexcept;

// Ends the connection; what is left of it goes to freeconns.
void conn_close(conn& c) noexcept;

// Waits for other events than before. False: libevent refused, and the connection must be closed.
[[nodiscard]] bool update_event(conn& c, short new_flags) noexcept;

// Going to sleep and arming what will wake us are one act.
step wait_for(conn& c, short events, conn_states resume_in) noexcept;

// Gives back what has grown large for one command.
void conn_shrink(conn& c) noexcept;

// Sends `line`, cut to what wbuf holds, and \r\n; then reads the next command.
step out_string(conn& c, std::string_view line) noexcept;

// Sends `line` as out_string does, unless it is empty; then the connection ends.
step close_after(conn& c, std::string_view line);

// Sends `text` as it is, however long; then reads the next command.
step out_text(conn& c, std::string text) noexcept;
