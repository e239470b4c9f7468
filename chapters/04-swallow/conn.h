// A connection: its descriptor, its event, its state, and the bytes on their way in and out.
// New in this chapter: conn_swallow and sbytes.
#pragma once

#include <event2/event_struct.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/storage/store.h"

struct server;

enum class conn_states {
  conn_listening,  // the socket that accepts clients
  conn_read,       // wants a command: from the buffer if one is there, else from the network
  conn_nread,      // wants the rlbytes bytes of a value
  conn_swallow,    // throws away the sbytes bytes of a refused value
  conn_write,      // has a reply to send
  conn_mwrite,     // has found items to send
  conn_closing,    // is to be closed
};
using enum conn_states;

// Which part of a reply comes next in conn_mwrite. The numbers are memcached 1.0's.
enum class iparts {
  header = 0,  // "VALUE …" of the current item
  value = 1,   // its value
  next = 2,    // its value is sent: let the item go and take the next one
};

// What a state decided: the next state, and whether to go back to libevent first.
struct [[nodiscard]] step {
  conn_states next;
  bool stop = false;
};

constexpr step go(conn_states next) noexcept { return {next}; }

// The size of both buffers when a connection starts, in bytes.
inline constexpr std::size_t data_buffer_size = 2048;

// A longer ilist than this is given back after use.
inline constexpr std::size_t item_list_highwat = 400;

// What the client has sent and the machine has not used yet. Owns: its memory.
class read_buffer {
 public:
  [[nodiscard]] std::string_view unread() const noexcept { return {rbuf_.get() + rcurr_, rbytes_}; }
  void consume(std::size_t n) noexcept;

  // Where the next read() may put its bytes: never empty. Doubles the buffer if it is full. Throws std::bad_alloc.
  [[nodiscard]] std::span<char> room();
  void filled(std::size_t n) noexcept { rbytes_ += n; }

  // Somebody will now search all unread bytes for a line end. How many of them were searched before.
  [[nodiscard]] std::size_t begin_search() noexcept { return std::exchange(searched_, rbytes_); }

 private:
  std::unique_ptr<char[]> rbuf_;
  std::size_t rsize_ = 0;
  std::size_t rcurr_ = 0;   // where the unread bytes begin
  std::size_t rbytes_ = 0;  // how many they are
  std::size_t searched_ = 0;
};

// Thread: the only one. Owns: the socket, its event, and a reference to each item it holds. The destructor takes the
// event off first: a descriptor must not be closed while libevent still watches it.
struct conn {
  conn(server& srv, net::unique_fd fd, conn_states init_state, short event_flags);
  ~conn();
  conn(const conn&) = delete;
  conn& operator=(const conn&) = delete;

  server& srv;
  net::unique_fd sfd;
  conn_states state;

  read_buffer rbuf;

  // conn_nread: a storage command waits here until its value is whole.
  storage::item_ref item;   // the object to fill; nobody else can see it yet
  char* ritem = nullptr;    // where its next byte goes (memcached 1.0 kept this in rcurr)
  std::size_t rlbytes = 0;  // how many are still to come
  storage::store_mode cmd{};
  std::uint64_t cas = 0;
  bool noreply = false;

  std::size_t sbytes = 0;  // conn_swallow: how many bytes are still to be thrown away

  std::array<char, data_buffer_size> wbuf;  // the reply
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

  short ev_flags;  // what `event` waits for
  struct event event;
};

// Makes a connection and arms its event: from now on libevent calls event_handler with it. Returns nullptr, and has
// closed the descriptor, when memory or libevent refuses.
conn* conn_new(server& srv, net::unique_fd fd, conn_states init_state, short event_flags) noexcept;

// Ends the connection: `c` is gone when this returns.
void conn_close(conn& c) noexcept;

// The state's name, as in the code.
[[nodiscard]] std::string_view state_text(conn_states state) noexcept;

// The single door for every change of state (conn_new sets the first one): the trace hears of it, and a build that
// asserts (README, "A build that asserts") stops at one that is not legal.
void conn_set_state(conn& c, conn_states state) noexcept;

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
