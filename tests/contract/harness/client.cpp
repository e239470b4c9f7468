// A client of the server under test, one connection, whose every wait has a deadline.
#include "client.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <system_error>

#include "printable.h"
#include "target.h"

namespace contract {

namespace {

using clock = std::chrono::steady_clock;

[[noreturn]] void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

clock::time_point deadline() { return clock::now() + under_test().deadline; }

bool peer_is_gone(int error) { return error == EPIPE || error == ECONNRESET; }

void set_option(int fd, int level, int name, int value) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0) throw_errno("setsockopt");
}

struct endpoints {
  sockaddr_in ours;
  sockaddr_in server;
};

// nullopt: not a TCP connection, or no longer one.
std::optional<endpoints> endpoints_of(int fd) {
  endpoints e{};
  socklen_t length = sizeof e.ours;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&e.ours), &length) != 0 || e.ours.sin_family != AF_INET) {
    return std::nullopt;
  }
  length = sizeof e.server;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&e.server), &length) != 0) return std::nullopt;
  return e;
}

// Two of TCP's states, by the kernel's numbers. <netinet/tcp.h> has their names, but an older tcp_info than
// <linux/tcp.h>, and the two cannot be included together.
constexpr std::uint8_t established = 1;
constexpr std::uint8_t close_wait = 8;

enum class consumption { all, not_all, unknown };

// Asks sock_diag(7) for the server's end of our connection, by its exact addresses: one socket, not a dump of all. The
// kernel must have put all that was sent into that socket, and the server must have taken all out. Not to be had from
// our own end: an acknowledgement tells of the first only, and comes up to 40 ms late.
consumption by_diagnosis(int diagnosis, const endpoints& e, std::size_t sent) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 question;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.question.sdiag_family = AF_INET;
  request.question.sdiag_protocol = IPPROTO_TCP;
  request.question.idiag_states = ~0u;
  request.question.idiag_ext = 1 << (INET_DIAG_INFO - 1);
  request.question.id.idiag_sport = e.server.sin_port;
  request.question.id.idiag_dport = e.ours.sin_port;
  request.question.id.idiag_src[0] = e.server.sin_addr.s_addr;
  request.question.id.idiag_dst[0] = e.ours.sin_addr.s_addr;
  request.question.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  request.question.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (::send(diagnosis, &request, sizeof request, 0) < 0) return consumption::unknown;

  alignas(nlmsghdr) std::array<char, 8192> answer;
  const ssize_t length = ::recv(diagnosis, answer.data(), answer.size(), 0);
  if (length < static_cast<ssize_t>(sizeof(nlmsghdr))) return consumption::unknown;
  nlmsghdr header;
  std::memcpy(&header, answer.data(), sizeof header);
  const char* body = answer.data() + NLMSG_HDRLEN;
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr error;
    std::memcpy(&error, body, sizeof error);
    return error.error == -ENOENT ? consumption::all : consumption::unknown;
  }
  inet_diag_msg message;
  std::memcpy(&message, body, sizeof message);
  // Once the server has closed, it will read no more.
  if (message.idiag_state != established && message.idiag_state != close_wait) return consumption::all;
  if (message.idiag_rqueue != 0) return consumption::not_all;

  const char* const end = answer.data() + length;
  for (const char* at = body + NLMSG_ALIGN(sizeof message); at + sizeof(nlattr) <= end;) {
    nlattr attribute;
    std::memcpy(&attribute, at, sizeof attribute);
    if (attribute.nla_type == INET_DIAG_INFO) {
      tcp_info info{};
      std::memcpy(&info, at + NLA_HDRLEN, std::min<std::size_t>(sizeof info, attribute.nla_len - NLA_HDRLEN));
      return info.tcpi_bytes_received >= sent ? consumption::all : consumption::not_all;
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
  return consumption::unknown;
}

// The same from the text that every Linux has: slow where there are many sockets, and blind to a segment on its way.
consumption by_proc(int socket, const endpoints& e) {
  int unsent = 0;
  ::ioctl(socket, SIOCOUTQNSD, &unsent);
  if (unsent > 0) return consumption::not_all;
  std::ifstream table{"/proc/net/tcp"};
  for (std::string line; std::getline(table, line);) {
    unsigned local = 0;
    unsigned remote = 0;
    unsigned rx_queue = 0;
    if (std::sscanf(line.c_str(), " %*d: %*8x:%4x %*8x:%4x %*x %*x:%8x", &local, &remote, &rx_queue) != 3) continue;
    if (local == ntohs(e.server.sin_port) && remote == ntohs(e.ours.sin_port)) {
      return rx_queue == 0 ? consumption::all : consumption::not_all;
    }
  }
  return consumption::all;
}

}  // namespace

client::client(const server_process& server, const client_options& options) : client{server.port(), options} {}

client::client(int port, const client_options& options)
    : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)},
      diagnosis_{::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)} {
  // The sizes of buffers must be known before the handshake, which announces the window.
  if (options.receive_buffer != 0) set_option(socket_.get(), SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
  if (options.send_buffer != 0) set_option(socket_.get(), SOL_SOCKET, SO_SNDBUF, options.send_buffer);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("connect to port " + std::to_string(port));
  }
  set_option(socket_.get(), IPPROTO_TCP, TCP_NODELAY, 1);
}

client::client(const std::filesystem::path& unix_socket) : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = unix_socket.string();
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("too long for a unix socket: " + path);
  path.copy(address.sun_path, path.size());
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("connect to " + path);
  }
}

bool client::wait_for(short events, clock::time_point end) const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - clock::now()).count();
  pollfd awaited{socket_.get(), events, 0};
  return ::poll(&awaited, 1, left > 0 ? static_cast<int>(left) : 0) == 1;
}

void client::send(std::string_view bytes) {
  const clock::time_point end = deadline();
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent_ += static_cast<std::size_t>(n);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (peer_is_gone(errno)) {
      return;
    } else if (errno != EAGAIN) {
      throw_errno("send");
    } else if (!wait_for(POLLOUT, end)) {
      throw deadline_passed("the server does not read: " + std::to_string(bytes.size()) + " bytes are still unsent");
    }
  }
}

std::size_t client::send_some(std::string_view bytes, std::chrono::milliseconds patience) {
  if (!wait_for(POLLOUT, clock::now() + patience)) return 0;
  const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n <= 0) return 0;
  sent_ += static_cast<std::size_t>(n);
  return static_cast<std::size_t>(n);
}

// False at the end of the stream.
bool client::receive_into_buffer() {
  constexpr std::size_t piece = 256 * 1024;
  if (!wait_for(POLLIN, deadline())) {
    throw deadline_passed("no answer within the deadline; received so far: " +
                          printable_around(received_, received_.size()));
  }
  const std::size_t before = received_.size();
  received_.resize(before + piece);
  const ssize_t n = ::recv(socket_.get(), received_.data() + before, piece, MSG_DONTWAIT);
  received_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0 && !peer_is_gone(errno)) throw_errno("recv");
  return n > 0;
}

std::string client::receive_some() {
  if (received_.empty()) static_cast<void>(receive_into_buffer());
  return std::exchange(received_, {});
}

std::string client::receive(std::size_t n) {
  while (received_.size() < n && receive_into_buffer()) continue;
  std::string bytes = received_.substr(0, n);
  received_.erase(0, bytes.size());
  return bytes;
}

std::string client::receive_until(std::string_view end) {
  std::size_t searched = 0;
  while (true) {
    const std::size_t at = received_.find(end, searched);
    if (at != std::string::npos) return receive(at + end.size());
    searched = received_.size() - std::min(received_.size(), end.size() - 1);
    if (!receive_into_buffer()) return std::exchange(received_, {});
  }
}

std::string client::receive_rest() {
  while (receive_into_buffer()) continue;
  return std::exchange(received_, {});
}

std::string client::ask(std::string_view line) {
  send(std::string{line} + "\r\n");
  return receive_line();
}

void client::wait_until_consumed() {
  const std::optional<endpoints> e = endpoints_of(socket_.get());
  if (!e) return;
  for (const clock::time_point end = deadline(); clock::now() < end; ::sched_yield()) {
    consumption consumed = consumption::unknown;
    if (diagnosis_) consumed = by_diagnosis(diagnosis_.get(), *e, sent_);
    if (consumed == consumption::unknown) {
      diagnosis_.reset();
      consumed = by_proc(socket_.get(), *e);
    }
    if (consumed == consumption::all) return;
  }
  throw deadline_passed("the server has not read what it was sent; received so far: " + printable(received_));
}

void client::half_close() { ::shutdown(socket_.get(), SHUT_WR); }

void client::reset() {
  const linger at_once{1, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket_.reset();
}

}  // namespace contract
