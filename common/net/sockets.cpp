// Listening sockets and their addresses.
#include "common/net/sockets.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>
#include <system_error>

#include "common/basics/parsed.h"

namespace net {
namespace {

[[noreturn]] void fail(int error, const std::string& doing) {
  throw std::system_error(error, std::generic_category(), doing);
}

// --- Addresses ------------------------------------------------------------------------------------------------------

// What the kernel says about one end of a socket.
struct socket_address {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;

  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] int family() const noexcept { return storage.ss_family; }
};

[[nodiscard]] bool is_datagram(int fd) noexcept {
  int type = 0;
  socklen_t length = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM;
}

[[nodiscard]] int port_of(const sockaddr* address) noexcept {
  if (address->sa_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
  if (address->sa_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(address)->sin6_port);
  return 0;
}

void set_port(sockaddr* address, int port) noexcept {
  const auto wire = htons(static_cast<std::uint16_t>(port));
  if (address->sa_family == AF_INET) reinterpret_cast<sockaddr_in*>(address)->sin_port = wire;
  if (address->sa_family == AF_INET6) reinterpret_cast<sockaddr_in6*>(address)->sin6_port = wire;
}

// "127.0.0.1:11211" or "[::1]:11211".
[[nodiscard]] std::string host_and_port(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST] = "?";
  getnameinfo(address, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  const std::string port = std::to_string(port_of(address));
  return address->sa_family == AF_INET6 ? "[" + std::string(host) + "]:" + port : std::string(host) + ":" + port;
}

[[nodiscard]] std::string describe(int fd, socket_address& address) {
  if (address.family() == AF_UNIX) {
    const auto* unix_address = reinterpret_cast<const sockaddr_un*>(&address.storage);
    const std::size_t room = address.length - std::min<std::size_t>(address.length, offsetof(sockaddr_un, sun_path));
    return "unix:" + std::string(unix_address->sun_path, strnlen(unix_address->sun_path, room));
  }
  if (address.family() != AF_INET && address.family() != AF_INET6) return "unknown";
  const std::string transport = is_datagram(fd) ? "udp" : "tcp";
  return transport + (address.family() == AF_INET6 ? "6:" : ":") + host_and_port(address.get(), address.length);
}

// --- Names to addresses ---------------------------------------------------------------------------------------------

// getaddrinfo() has error numbers of its own.
class resolver_category : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "getaddrinfo"; }
  [[nodiscard]] std::string message(int error) const override { return gai_strerror(error); }
};

struct free_addresses {
  void operator()(addrinfo* list) const noexcept { freeaddrinfo(list); }
};
using address_list = std::unique_ptr<addrinfo, free_addresses>;

struct endpoint {
  std::string host;  // "": all interfaces
  int port;
};

// Takes "host:port" and "[address]:port" apart. A bare IPv6 address is known by its more than one colon.
[[nodiscard]] endpoint split(const std::string& interface, int port, const std::string& doing = "listen") {
  const auto colon = interface.rfind(':');
  const bool bracketed = interface.starts_with('[');
  const bool has_port =
      colon != std::string::npos && (bracketed ? interface[colon - 1] == ']' : interface.find(':') == colon);
  std::string host = interface.substr(0, has_port ? colon : std::string::npos);
  if (bracketed && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (has_port) {
    port = parsed<int>(std::string_view(interface).substr(colon + 1)).value_or(-1);
    if (port < 0 || port > 65535) fail(EINVAL, doing + " " + interface);
  }
  return {host, port};
}

[[nodiscard]] address_list resolve(const endpoint& where, int type, int flags = AI_PASSIVE) {
  static const resolver_category category;
  addrinfo hints{};
  hints.ai_flags = flags;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = type;
  const std::string port = std::to_string(where.port);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(), port.c_str(), &hints, &found);
  const std::string doing = ((flags & AI_PASSIVE) != 0 ? "listen " : "server ") + where.host + ":" + port;
  if (error == EAI_SYSTEM) fail(errno, doing);
  if (error != 0) throw std::system_error(error, category, doing);
  return address_list(found);
}

// --- Sockets --------------------------------------------------------------------------------------------------------

void enable(int fd, int level, int option) noexcept {
  const int on = 1;
  setsockopt(fd, level, option, &on, sizeof on);
}

// `backlog` is for streams alone.
[[nodiscard]] unique_fd bind_one(const addrinfo& a, int backlog) {
  const std::string where = host_and_port(a.ai_addr, a.ai_addrlen);
  unique_fd fd(socket(a.ai_family, a.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a.ai_protocol));
  if (!fd) fail(errno, "socket " + where);

  // Each family has a socket of its own; without this the IPv6 one would take the IPv4 port too.
  if (a.ai_family == AF_INET6) enable(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  if (a.ai_socktype == SOCK_STREAM) {
    enable(fd.get(), SOL_SOCKET, SO_REUSEADDR);  // a restart need not wait for TIME_WAIT to end
    enable(fd.get(), SOL_SOCKET, SO_KEEPALIVE);
  } else {
    // No SO_REUSEADDR, unlike 1.4.25: on Linux a second server could bind the same port and take this one's datagrams.
    const int more_than_allowed = 256 << 20;  // the kernel lowers it to net.core.wmem_max
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &more_than_allowed, sizeof more_than_allowed);
  }

  if (bind(fd.get(), a.ai_addr, a.ai_addrlen) != 0) fail(errno, "bind " + where);
  if (a.ai_socktype == SOCK_STREAM && listen(fd.get(), backlog) != 0) fail(errno, "listen " + where);
  return fd;
}

void set_ports(addrinfo* addresses, int port) noexcept {
  for (; addresses != nullptr; addresses = addresses->ai_next) set_port(addresses->ai_addr, port);
}

// A hosts file that has a name twice gives its address twice.
[[nodiscard]] bool is_repeated(const addrinfo& a, const addrinfo* list) noexcept {
  for (; list != &a; list = list->ai_next) {
    if (list->ai_addrlen == a.ai_addrlen && std::memcmp(list->ai_addr, a.ai_addr, a.ai_addrlen) == 0) return true;
  }
  return false;
}

// Said of all interfaces: there is no such family, or IPv6 is there, but switched off.
[[nodiscard]] bool machine_lacks_family(const std::system_error& e) noexcept {
  return e.code() == std::errc::address_family_not_supported || e.code() == std::errc::address_not_available;
}

// What could be had of some addresses, and why the others could not.
struct bound {
  std::vector<unique_fd> sockets;
  std::vector<std::system_error> missing;
};

// Port 0: the kernel chooses one for the first address, and the others ask for the same.
[[nodiscard]] bound bind_all(addrinfo* addresses, const endpoint& where, int backlog) {
  bound all;
  set_ports(addresses, where.port);
  for (const addrinfo* a = addresses; a != nullptr; a = a->ai_next) {
    if (is_repeated(*a, addresses)) continue;
    try {
      all.sockets.push_back(bind_one(*a, backlog));
      set_ports(addresses, local_port(all.sockets.front().get()));
    } catch (const std::system_error& e) {
      all.missing.push_back(e);
    }
  }
  if (where.host.empty() && !all.sockets.empty()) std::erase_if(all.missing, machine_lacks_family);
  return all;
}

[[nodiscard]] bound open_interface(const std::string& interface, int default_port, int type, int backlog) {
  const endpoint where = split(interface, default_port);
  const address_list addresses = resolve(where, type);
  for (int attempts_left = 15;; --attempts_left) {
    bound all = bind_all(addresses.get(), where, backlog);
    // What the kernel chose for one family, somebody may have in the other: let it choose again.
    const bool unlucky = where.port == 0 && std::ranges::any_of(all.missing, [](const std::system_error& e) {
                           return e.code() == std::errc::address_in_use;
                         });
    if (!unlucky || attempts_left == 0) return all;
  }
}

[[nodiscard]] std::vector<unique_fd> open_all(const std::vector<std::string>& interfaces, int port, int type,
                                              int backlog, const passed_over& say) {
  bound all;
  for (const std::string& interface : interfaces.empty() ? std::vector<std::string>{""} : interfaces) {
    bound more = open_interface(interface, port, type, backlog);
    std::ranges::move(more.sockets, std::back_inserter(all.sockets));
    std::ranges::move(more.missing, std::back_inserter(all.missing));
  }
  if (all.sockets.empty()) throw all.missing.front();
  for (const std::system_error& e : all.missing) say(e.what());
  return std::move(all.sockets);
}

// Owns: the process's umask while it lives, and puts the old one back. Thread: set-up only; the umask is the process's.
class scoped_umask {
 public:
  explicit scoped_umask(mode_t mask) noexcept : old_(umask(mask)) {}
  ~scoped_umask() { umask(old_); }
  scoped_umask(const scoped_umask&) = delete;
  scoped_umask& operator=(const scoped_umask&) = delete;

 private:
  mode_t old_;
};

[[nodiscard]] sockaddr_un path_address(const std::string& path, const std::string& doing) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) fail(EINVAL, doing + " unix:");  // would be an address of the kernel's choice
  if (path.size() >= sizeof address.sun_path) fail(ENAMETOOLONG, doing + " unix:" + path);
  path.copy(address.sun_path, path.size());
  return address;
}

// Nobody listens there any more: a server that was killed leaves its socket file behind, and bind() does not reuse it.
[[nodiscard]] bool is_stale(const sockaddr_un& address) noexcept {
  const unique_fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

void say_on_stderr(const std::string& why) {
  std::fprintf(stderr, "%s; the other addresses are served\n", why.c_str());
}

std::vector<unique_fd> listen_tcp(const std::vector<std::string>& interfaces, int port, int backlog,
                                  const passed_over& say) {
  return open_all(interfaces, port, SOCK_STREAM, backlog, say);
}

std::vector<unique_fd> bind_udp(const std::vector<std::string>& interfaces, int port, const passed_over& say) {
  return open_all(interfaces, port, SOCK_DGRAM, 0, say);
}

address resolve_tcp(const std::string& host_and_port) {
  const endpoint where = split(host_and_port, 0, "server");
  if (where.host.empty() || where.port == 0) fail(EINVAL, "server " + host_and_port);
  return resolve_tcp(where.host, where.port);
}

address resolve_tcp(const std::string& host, int port) {
  const address_list found = resolve({host, port}, SOCK_STREAM, 0);
  address result{{}, found->ai_addrlen};
  std::memcpy(&result.storage, found->ai_addr, found->ai_addrlen);
  return result;
}

address unix_address(const std::string& path) {
  const sockaddr_un where = path_address(path, "server");
  address result{{}, sizeof where};
  std::memcpy(&result.storage, &where, sizeof where);
  return result;
}

unique_fd listen_unix(const std::string& path, mode_t mode, int backlog) {
  const std::string where = "unix:" + path;
  const sockaddr_un address = path_address(path, "bind");

  struct stat file {};
  if (lstat(path.c_str(), &file) == 0) {
    if (!S_ISSOCK(file.st_mode)) fail(EEXIST, "bind " + where);
    if (!is_stale(address)) fail(EADDRINUSE, "bind " + where);
    if (unlink(path.c_str()) != 0) fail(errno, "remove the stale " + where);
  }

  unique_fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) fail(errno, "socket " + where);
  {
    // chmod() after bind() would leave a moment in which anybody can connect.
    const scoped_umask mask(~mode & 0777);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail(errno, "bind " + where);
  }
  if (listen(fd.get(), backlog) != 0) fail(errno, "listen " + where);
  return fd;
}

std::string local_address(int fd) {
  socket_address address;
  if (getsockname(fd, address.get(), &address.length) != 0) return "unknown";
  return describe(fd, address);
}

std::string peer_address(int fd) {
  socket_address address;
  if (getpeername(fd, address.get(), &address.length) != 0) return "unknown";
  return describe(fd, address);
}

int local_port(int fd) {
  socket_address address;
  return getsockname(fd, address.get(), &address.length) == 0 ? port_of(address.get()) : 0;
}

void write_port_file(const std::string& path, std::span<const int> sockets) {
  std::string text;
  for (const int fd : sockets) {
    socket_address address;
    if (getsockname(fd, address.get(), &address.length) != 0) fail(errno, "getsockname");
    if (address.family() != AF_INET && address.family() != AF_INET6) continue;
    text += is_datagram(fd) ? "UDP " : "TCP ";
    text += address.family() == AF_INET6 ? "INET6: " : "INET: ";
    text += std::to_string(port_of(address.get())) + "\n";
  }

  const std::string unfinished = path + ".lck";
  unique_fd file(open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) fail(errno, "write " + unfinished);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    fail(errno, "write " + unfinished);
  }
  file.reset();
  if (rename(unfinished.c_str(), path.c_str()) != 0) fail(errno, "rename " + unfinished + " to " + path);
}

void set_nodelay(int fd) noexcept { enable(fd, IPPROTO_TCP, TCP_NODELAY); }

void set_keepalive(int fd, bool on) noexcept {
  const int value = on ? 1 : 0;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value);
}

void drop_input(int fd) noexcept {
  constexpr int most_reads = 64;
  std::array<char, 16384> dropped;
  for (int reads = 0; reads < most_reads && recv(fd, dropped.data(), dropped.size(), MSG_DONTWAIT) > 0; ++reads) {
  }
}

}  // namespace net
