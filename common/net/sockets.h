// Listening sockets and their addresses. Every socket made here is non-blocking and close-on-exec.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/net/unique_fd.h"

namespace net {

// Whether the call that has just failed may be made again once the socket is ready, and is no error. Looks at errno.
[[nodiscard]] inline bool would_block() noexcept { return errno == EAGAIN || errno == EWOULDBLOCK; }

// Hears why nobody will listen on an address that was asked for: "bind [::1]:11211: Address already in use".
using passed_over = std::function<void(const std::string& why)>;
void say_on_stderr(const std::string& why);

// One socket for each address that `interfaces` resolve to: names or addresses; none: all interfaces, IPv4 and IPv6.
// With "host:port" or "[address]:port" an interface brings its own port. Port 0: one of the kernel's choice, the same
// for all addresses of an interface. An address that cannot be had is passed over, and `say` hears of it once the
// others listen; only a family that the machine lacks is nobody's loss where all interfaces are meant. Throws
// std::system_error that names address and port
// ("bind 127.0.0.1:11211: Address already in use") if no address could be had, or if an interface is none.
[[nodiscard]] std::vector<unique_fd> listen_tcp(const std::vector<std::string>& interfaces, int port, int backlog,
                                                const passed_over& say = say_on_stderr);
[[nodiscard]] std::vector<unique_fd> bind_udp(const std::vector<std::string>& interfaces, int port,
                                              const passed_over& say = say_on_stderr);

// A stale socket file at `path` is removed first; anything else there is an error, a live server's socket too (1.4.25
// takes it away). `mode` is the file's permission bits. Throws std::system_error.
[[nodiscard]] unique_fd listen_unix(const std::string& path, mode_t mode, int backlog);

// Where to connect to.
struct address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// The first address that "host:port", "[address]:port", or host and port resolve to; it blocks while it asks. Throws
// std::system_error that names it ("server nowhere:11211: Name or service not known").
[[nodiscard]] address resolve_tcp(const std::string& host_and_port);
[[nodiscard]] address resolve_tcp(const std::string& host, int port);

// Throws std::system_error (ENAMETOOLONG).
[[nodiscard]] address unix_address(const std::string& path);

// "tcp:127.0.0.1:11211", "tcp6:[::1]:11211", "udp:…", "unix:/path" as "stats conns" prints them. A client on a unix
// socket has no path: "unix:". Where the kernel gives no address: "unknown".
[[nodiscard]] std::string local_address(int fd);
[[nodiscard]] std::string peer_address(int fd);
// The local port of a TCP or UDP socket; 0 for others.
[[nodiscard]] int local_port(int fd);

// Tells a harness where the server listens: a line "TCP INET: 40123" (TCP INET6, UDP INET, UDP INET6) for each socket,
// in a file that appears under its name only when it is whole. Throws std::system_error.
void write_port_file(const std::string& path, std::span<const int> sockets);

// Sends small writes at once instead of waiting for the peer's ACK (Nagle's algorithm off). No effect on unix sockets.
void set_nodelay(int fd) noexcept;

// Whether the kernel asks after a peer that has been silent for long. Those whom a listener accepts inherit it. No
// effect on unix sockets.
void set_keepalive(int fd, bool on) noexcept;

// Reads and drops what the peer of a stream has sent so far, up to a mebibyte. A socket that is closed with input
// unread sends a reset, and a peer that gets one may lose what it has not read yet: our last words.
void drop_input(int fd) noexcept;

}  // namespace net
