// A connection: its descriptor, its event, its state, and the bytes on their way in and out.
// New in this chapter: a "connection" may be a datagram socket; its replies are datagrams, each with a header.
#pragma once

#include <event2/event_struct.h>
#include <sys/socket.h>
#include <sys/uio.h>

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

struct libevent_thread;
struct server;

enum class conn_states {
  conn_listening,  // the socket that accepts clients
  conn_new_cmd,    // is done with a command; the next one, if its turn has come
  conn_waiting,    // has nothing to do until the client speaks
  conn_read,       // wants bytes from the network
  conn_parse_cmd,  // has bytes: is a whole command among them?
  conn_nread,      // wants the rlbytes bytes of a value
  conn_swallow,    // throws away the sbytes bytes of a refused value
  conn_write,      // has a reply to send
  conn_mwrite,     // has found items to send
  conn_closing,    // is to be closed
  conn_closed,     // is closed, and waits for its descriptor to come back
};
using enum conn_states;

enum class network_transport : unsigned char {
  local_transport,  // a unix socket
  tcp_transport,
  udp_transport,
};
using enum network_transport;

// What a state decided: the next state, and whether to go back to libevent first.
struct [[nodiscard]] step {
  conn_states next;
  bool stop = false;
};

constexpr step go(conn_states next) noexcept { return {next}; }

// The size of both buffers when a connection starts, in bytes.
inline constexpr std::size_t data_buffer_size = 2048;

// Longer lists than these are given back after use.
inline constexpr std::size_t item_list_highwat = 400;
inline constexpr std::size_t iov_list_highwat = 600;
inline constexpr std::size_t msg_list_highwat = 100;

// Of a UDP reply, in bytes, with its header: what fits into one Ethernet frame.
inline constexpr std::size_t udp_max_payload_size = 1400;
inline constexpr std::size_t udp_header_size = 8;

// As many datagrams as the headers can count: a question of one may ask for the same large value ten thousand times.
inline constexpr std::size_t udp_most_datagrams = 65535;

// The largest datagram that a client can send.
inline constexpr std::size_t udp_read_buffer_size = 65536;

// What one sendmsg() sends: `count` iovecs, the first of them at iov[first]. An index, for iov may move as it grows.
struct message {
  std::size_t first;
  std::size_t count;
  std::size_t bytes;
};

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

  // How large the buffer is at first, in bytes, and to what size it comes back.
  void set_first_size(std::size_t n) noexcept { first_size_ = n; }

 private:
  std::size_t first_size_ = data_buffer_size;
  std::unique_ptr<char[]> rbuf_;
  std::size_t rsize_ = 0;
  std::size_t rcurr_ = 0;   // where the unread bytes begin
  std::size_t rbytes_ = 0;  // how many they are
  std::size_t searched_ = 0;
};

// Thread: `thread`, from conn_new to conn_close; no member is locked. Owns: the socket, its event, and a reference to
// each item it holds. Without a socket it is closed, and has no event either.
struct conn {
  explicit conn(server& srv);
  ~conn();
  conn(const conn&) = delete;
  conn& operator=(const conn&) = delete;

  server& srv;
  libevent_thread* thread = nullptr;  // whose it is; may be another one each time
  net::unique_fd sfd;
  conn_states state = conn_closed;
  network_transport transport = tcp_transport;
  sockaddr_storage request_addr;  // UDP: who asked
  socklen_t request_addr_size = 0;
  unsigned request_id = 0;  // UDP: which question this is, in the client's count

  read_buffer rbuf;

  // conn_nread: a storage command waits here until its value is whole.
  storage::item_ref item;   // the object to fill; nobody else can see it yet
  char* ritem = nullptr;    // where its next byte goes (memcached 1.0 kept this in rcurr)
  std::size_t rlbytes = 0;  // how many are still to come
  storage::store_mode cmd{};
  std::uint64_t cas = 0;
  bool noreply = false;

  std::size_t sbytes = 0;  // conn_swallow: how many bytes are still to be thrown away

  // The reply: a list of places, in the order in which they are sent, cut into messages of at most IOV_MAX of them.
  std::vector<iovec> iov;
  std::vector<message> msglist;
  std::size_t msgcurr = 0;                                         // the first message that is not sent whole
  conn_states write_and_go = conn_new_cmd;                         // the state after its last byte
  std::array<char, data_buffer_size> wbuf;                         // where a reply of one line lies
  std::string write_and_free;                                      // a longer one; freed when it is sent
  std::vector<storage::item_ref> ilist;                            // what a get has found; held until all of it is sent
  std::vector<std::array<unsigned char, udp_header_size>> hdrbuf;  // UDP: one per message
  std::vector<std::array<char, 24>> suffixlist;  // gets: the ends of the header lines, with the cas numbers

  short ev_flags = 0;  // what `event` waits for
  struct event event;
};

// Takes the connection that belongs to the descriptor, or makes it, and arms its event: from now on libevent calls
// event_handler with it. Returns nullptr, and has closed the descriptor, when memory or libevent refuses.
conn* conn_new(libevent_thread& thread, net::unique_fd fd, conn_states init_state, short event_flags,
               std::size_t read_buffer_size, network_transport transport) noexcept;

// Lets go of all that a request can leave behind.
void conn_cleanup(conn& c) noexcept;

// Ends the connection; what is left of it stays in server::conns.
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

// Begins a message of the reply, the first one or a further one.
void add_msghdr(conn& c);

// Adds `bytes` to the reply. They stay where they are, and must until they are sent. For UDP they are cut to fit.
void add_iov(conn& c, std::string_view bytes);

// Forgets the last reply, and begins a new one.
void begin_reply(conn& c);

// UDP: writes each message's header, which could not be known before the number of messages was.
void build_udp_headers(conn& c);

// Sends `line`, cut to what wbuf holds, and \r\n; then the next command.
step out_string(conn& c, std::string_view line);

// Sends `line` as out_string does, unless it is empty; then the connection ends.
step close_after(conn& c, std::string_view line);

// Sends `text` as it is, however long; then the next command.
step out_text(conn& c, std::string text);
