// What the client will be told: a list of places in memory, in the order in which they are sent.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/storage/store.h"
#include "read_buffer.h"
#include "states.h"

struct conn;

// Longer lists than these are given back after use.
inline constexpr std::size_t item_list_highwat = 400;
inline constexpr std::size_t iov_list_highwat = 600;
inline constexpr std::size_t msg_list_highwat = 100;

// What one sendmsg() sends: `count` iovecs, the first of them at iov[first]. An index, for iov may move as it grows.
struct message {
  std::size_t first;
  std::size_t count;
};

// The places, cut into messages of at most IOV_MAX of them. Owns: a reference to each item in it.
struct reply {
  std::vector<iovec> iov;
  std::vector<message> msglist;
  std::size_t msgcurr = 0;                       // the first message that is not sent whole
  conn_states write_and_go = conn_new_cmd;       // the state after its last byte
  std::array<char, data_buffer_size> wbuf;       // where a reply of one line lies
  std::string write_and_free;                    // a longer one; freed when it is sent
  std::vector<storage::item_ref> ilist;          // what a get has found; held until all of it is sent
  std::vector<std::array<char, 24>> suffixlist;  // gets: the ends of the header lines, with the cas numbers

  // Lets go of what is sent, or never will be.
  void clear() noexcept;

  // Gives back what has grown large for one command.
  void shrink() noexcept;
};

// Begins a message of the reply, the first one or a further one.
void add_msghdr(conn& c);

// Adds `bytes` to the reply. They stay where they are, and must until they are sent.
void add_iov(conn& c, std::string_view bytes);

// Forgets the last reply, and begins a new one.
void begin_reply(conn& c);

// Sends `line`, cut to what wbuf holds, and \r\n; then the next command.
step out_string(conn& c, std::string_view line);

// Sends `line` as out_string does, unless it is empty; then the connection ends.
step close_after(conn& c, std::string_view line);

// Sends `text` as it is, however long; then the next command.
step out_text(conn& c, std::string text);

// conn_write, conn_mwrite: as much of the reply as the kernel takes, by one sendmsg() per message.
step transmit(conn& c) noexcept;
