// common/net/sockets.h over real sockets, on ports of the kernel's choice.
#include "common/net/sockets.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string_view>

#include "tests/unit/support.h"

using net::unique_fd;
using unit::temporary_directory;

namespace {

[[nodiscard]] bool has_ipv6() {
  const unique_fd fd(socket(AF_INET6, SOCK_STREAM, 0));
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool works = fd && bind(fd.get(), reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) == 0;
  if (!works) MESSAGE("this machine has no IPv6: not tested");
  return works;
}

[[nodiscard]] int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  CHECK(getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}

[[nodiscard]] int family(int fd) { return option(fd, SOL_SOCKET, SO_DOMAIN); }

// A client of an IPv4 or unix listener, and the listener's end of the connection.
struct connection {
  unique_fd client;
  unique_fd accepted;
};

[[nodiscard]] connection connect_to(int listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  REQUIRE(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  unique_fd client(socket(address.ss_family, SOCK_STREAM, 0));
  REQUIRE(connect(client.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  pollfd waiting{listener, POLLIN, 0};
  REQUIRE(poll(&waiting, 1, 10'000) == 1);
  return {std::move(client), unique_fd(accept(listener, nullptr, nullptr))};
}

void check_flags(int fd) {
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

[[nodiscard]] std::string listen_error(const std::string& interface, int port) {
  return unit::thrown_text<std::system_error>([&] { (void)net::listen_tcp({interface}, port, 8); });
}

[[nodiscard]] std::string unix_error(const std::string& path) {
  return unit::thrown_text<std::system_error>([&] { (void)net::listen_unix(path, 0700, 8); });
}

[[nodiscard]] unsigned mode_of(const std::string& path) {
  struct stat file {};
  CHECK(lstat(path.c_str(), &file) == 0);
  return file.st_mode & 07777;
}

}  // namespace

TEST_CASE("unique_fd closes once and moves") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  unique_fd reader(ends[0]);
  {
    unique_fd writer(ends[1]);
    unique_fd moved(std::move(writer));
    CHECK(!writer);
    CHECK(moved.get() == ends[1]);
    unique_fd& same = moved;
    moved = std::move(same);
    CHECK(moved.get() == ends[1]);
  }
  CHECK(fcntl(ends[1], F_GETFD) == -1);
  CHECK(reader.release() == ends[0]);
  CHECK(fcntl(ends[0], F_GETFD) != -1);
  close(ends[0]);
}

TEST_CASE("listen_tcp: IPv4, a port of the kernel's choice") {
  const auto sockets = net::listen_tcp({"127.0.0.1"}, 0, 8);
  REQUIRE(sockets.size() == 1);
  const int fd = sockets[0].get();
  const int port = net::local_port(fd);
  CHECK(port > 0);
  CHECK(net::local_address(fd) == "tcp:127.0.0.1:" + std::to_string(port));
  CHECK(net::peer_address(fd) == "unknown");
  check_flags(fd);
  CHECK(option(fd, SOL_SOCKET, SO_REUSEADDR) == 1);
  CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);

  const connection both = connect_to(fd);
  CHECK(net::local_address(both.accepted.get()) == net::local_address(fd));
  CHECK(net::peer_address(both.accepted.get()) == net::local_address(both.client.get()));
  CHECK(net::peer_address(both.client.get()) == net::local_address(fd));
}

TEST_CASE("listen_tcp: IPv6") {
  if (!has_ipv6()) return;
  for (const char* const interface : {"::1", "[::1]"}) {
    const auto sockets = net::listen_tcp({interface}, 0, 8);
    REQUIRE(sockets.size() == 1);
    CHECK(net::local_address(sockets[0].get()) == "tcp6:[::1]:" + std::to_string(net::local_port(sockets[0].get())));
    CHECK(connect_to(sockets[0].get()).accepted);
  }
}

TEST_CASE("all interfaces: both families, one port, for TCP and UDP") {
  const bool ipv6 = has_ipv6();
  for (int round = 0; round < 20; ++round) {
    for (const auto& sockets : {net::listen_tcp({}, 0, 8), net::bind_udp({}, 0)}) {
      REQUIRE(sockets.size() == (ipv6 ? 2 : 1));
      CHECK(net::local_port(sockets[0].get()) > 0);
      if (!ipv6) continue;
      CHECK(net::local_port(sockets[0].get()) == net::local_port(sockets[1].get()));
      CHECK(family(sockets[0].get()) != family(sockets[1].get()));
    }
  }
}

TEST_CASE("the interface may bring its own port") {
  const int port = net::local_port(net::listen_tcp({"127.0.0.1"}, 0, 8)[0].get());
  const auto sockets = net::listen_tcp({"127.0.0.1:" + std::to_string(port)}, 1, 8);
  CHECK(net::local_port(sockets[0].get()) == port);
  CHECK(net::local_port(net::listen_tcp({"127.0.0.1:0"}, 1, 8)[0].get()) > 1);
  if (has_ipv6()) CHECK(net::local_port(net::listen_tcp({"[::1]:0"}, 1, 8)[0].get()) > 1);

  CHECK(listen_error("127.0.0.1:x", 0) == "listen 127.0.0.1:x: Invalid argument");
  CHECK(listen_error("127.0.0.1:8x", 0) == "listen 127.0.0.1:8x: Invalid argument");
  CHECK(listen_error("127.0.0.1:", 0) == "listen 127.0.0.1:: Invalid argument");
  CHECK(listen_error("127.0.0.1:65536", 0) == "listen 127.0.0.1:65536: Invalid argument");
  CHECK(listen_error("127.0.0.1:-1", 0) == "listen 127.0.0.1:-1: Invalid argument");
  CHECK(listen_error("[::1]:99999999999", 0) == "listen [::1]:99999999999: Invalid argument");
}

TEST_CASE("errors name the address and the port") {
  const auto taken = net::listen_tcp({"127.0.0.1"}, 0, 8);
  const std::string port = std::to_string(net::local_port(taken[0].get()));
  CHECK(listen_error("127.0.0.1", std::stoi(port)) == "bind 127.0.0.1:" + port + ": Address already in use");

  const auto udp = net::bind_udp({"127.0.0.1"}, 0);
  const int udp_port = net::local_port(udp[0].get());
  CHECK(unit::thrown_text<std::system_error>([&] { (void)net::bind_udp({"127.0.0.1"}, udp_port); }) ==
        "bind 127.0.0.1:" + std::to_string(udp_port) + ": Address already in use");

  CHECK(listen_error("192.0.2.1", 11211) == "bind 192.0.2.1:11211: Cannot assign requested address");
  const std::string bad_name = listen_error("no such host", 11211);
  CHECK_MESSAGE(bad_name.starts_with("listen no such host:11211: "), bad_name);
  CHECK(bad_name.find("getaddrinfo") == std::string::npos);
  CHECK(listen_error("[::1", 11211).starts_with("listen [::1:11211: "));
}

TEST_CASE("an address that is taken is passed over, and said, as long as there is another") {
  using binder = std::vector<unique_fd> (*)(const std::vector<std::string>&, int, const net::passed_over&);
  const binder tcp = [](const std::vector<std::string>& interfaces, int port, const net::passed_over& say) {
    return net::listen_tcp(interfaces, port, 8, say);
  };
  const binder udp = [](const std::vector<std::string>& interfaces, int port, const net::passed_over& say) {
    return net::bind_udp(interfaces, port, say);
  };
  const auto nobody_says = [](const std::string& why) { FAIL_CHECK(why); };
  for (const binder bind : {tcp, udp}) {
    const auto taken = bind({"127.0.0.1"}, 0, nobody_says);
    const int port = net::local_port(taken[0].get());
    const std::string why = "bind 127.0.0.1:" + std::to_string(port) + ": Address already in use";

    std::string said;
    const auto say = [&said](const std::string& text) { said += text + "\n"; };
    const auto rest = bind({"127.0.0.1", "127.0.0.2"}, port, say);
    REQUIRE(rest.size() == 1);
    CHECK(net::local_address(rest[0].get()).ends_with(":127.0.0.2:" + std::to_string(port)));
    CHECK(said == why + "\n");

    CHECK(unit::thrown_text<std::system_error>([&] {
            (void)bind({"127.0.0.1", "127.0.0.2"}, port, nobody_says);
          }) == why);
    if (!has_ipv6()) continue;
    said.clear();
    const auto other_family = bind({}, port, say);  // all interfaces
    REQUIRE(other_family.size() == 1);
    CHECK(family(other_family[0].get()) == AF_INET6);
    CHECK(said == "bind 0.0.0.0:" + std::to_string(port) + ": Address already in use\n");
  }
  CHECK(unit::in_child([] {
          (void)net::listen_tcp({"192.0.2.1:11211", "127.0.0.1"}, 0, 8);
          return std::string();
        }).streams == "bind 192.0.2.1:11211: Cannot assign requested address; the other addresses are served\n");
}

TEST_CASE("a machine without IPv6: said of ::1, which was asked for, and not of all interfaces") {
  const unit::child_result child = unit::in_child([] {
    if (unshare(CLONE_NEWNET) != 0) return std::string("no rights");
    std::ofstream switches("/proc/sys/net/ipv6/conf/all/disable_ipv6");
    switches << 1 << std::flush;
    unique_fd ioctls(socket(AF_INET, SOCK_DGRAM, 0));
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!switches || ioctl(ioctls.get(), SIOCSIFFLAGS, &loopback) != 0) return std::string("no rights");
    std::string got;
    (void)net::listen_tcp({}, 25'000, 8);
    for (const unique_fd& fd : net::listen_tcp({"127.0.0.1", "::1"}, 25'000, 8)) got += net::local_address(fd.get());
    return got;
  });
  if (child.answer == "no rights") {
    MESSAGE("no right to a network of our own, or no switch for IPv6: not tested");
    return;
  }
  CHECK(child.answer == "tcp:127.0.0.1:25000");
  CHECK(child.streams == "bind [::1]:25000: Cannot assign requested address; the other addresses are served\n");
}

TEST_CASE("a name that stands twice in the hosts file is bound once") {
  const temporary_directory directory;
  const std::string hosts = directory / "hosts";
  std::ofstream(hosts) << "127.0.0.1 twice\n127.0.0.1 twice\n";
  const unit::child_result child = unit::in_child([&hosts] {
    const bool ours_alone = unshare(CLONE_NEWNS) == 0 &&
                            mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                            mount(hosts.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0;
    if (!ours_alone) return std::string("no rights");
    return std::to_string(net::listen_tcp({"twice"}, 0, 8).size());
  });
  if (child.answer == "no rights") {
    MESSAGE("no right to put a hosts file of our own in place: not tested");
    return;
  }
  CHECK(child.answer == "1");
}

TEST_CASE("bind_udp: datagrams arrive") {
  const auto sockets = net::bind_udp({"127.0.0.1"}, 0);
  REQUIRE(sockets.size() == 1);
  const int fd = sockets[0].get();
  check_flags(fd);
  CHECK(net::local_address(fd) == "udp:127.0.0.1:" + std::to_string(net::local_port(fd)));

  const auto sender = net::bind_udp({"127.0.0.1"}, 0);
  sockaddr_in address{};
  socklen_t length = sizeof address;
  REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  REQUIRE(sendto(sender[0].get(), "hello", 5, 0, reinterpret_cast<sockaddr*>(&address), length) == 5);
  pollfd waiting{fd, POLLIN, 0};
  REQUIRE(poll(&waiting, 1, 10'000) == 1);
  char buffer[16];
  CHECK(recv(fd, buffer, sizeof buffer, 0) == 5);
}

TEST_CASE("listen_unix") {
  const temporary_directory directory;
  const std::string path = directory / "socket";

  SUBCASE("permissions are exactly those asked for, whatever the umask") {
    const mode_t before = umask(0077);
    CHECK(net::listen_unix(path, 0666, 8));
    CHECK(mode_of(path) == 0666);
    CHECK(umask(before) == 0077);
    std::filesystem::remove(path);
    CHECK(net::listen_unix(path, 0700, 8));
    CHECK(mode_of(path) == 0700);
  }
  SUBCASE("clients and addresses") {
    const unique_fd listener = net::listen_unix(path, 0700, 8);
    check_flags(listener.get());
    CHECK(net::local_address(listener.get()) == "unix:" + path);
    CHECK(net::local_port(listener.get()) == 0);
    const connection both = connect_to(listener.get());
    CHECK(net::peer_address(both.accepted.get()) == "unix:");
    CHECK(net::local_address(both.accepted.get()) == "unix:" + path);
    net::set_nodelay(both.accepted.get());
  }
  SUBCASE("a stale socket file is replaced") {
    (void)net::listen_unix(path, 0700, 8);
    REQUIRE(std::filesystem::is_socket(path));
    const unique_fd again = net::listen_unix(path, 0700, 8);
    CHECK(connect_to(again.get()).accepted);
  }
  SUBCASE("a live server's socket is left alone") {
    const unique_fd listener = net::listen_unix(path, 0700, 8);
    CHECK(unix_error(path) == "bind unix:" + path + ": Address already in use");
    CHECK(std::filesystem::is_socket(path));
  }
  SUBCASE("anything else is left alone") {
    std::ofstream(path) << "precious";
    CHECK(unix_error(path) == "bind unix:" + path + ": File exists");
    CHECK(unit::contents(path) == "precious");
    std::filesystem::create_symlink(directory / "nowhere", directory / "link");
    CHECK(unix_error(directory / "link").ends_with(": File exists"));
  }
  SUBCASE("paths that cannot be") {
    const std::string fits = directory.path() + "/" + std::string(107 - directory.path().size() - 1, 'x');
    const unique_fd longest = net::listen_unix(fits, 0700, 8);
    CHECK(net::local_address(longest.get()) == "unix:" + fits);
    CHECK(unix_error(fits + "x") == "bind unix:" + fits + "x: File name too long");
    CHECK(unix_error("") == "bind unix:: Invalid argument");
    CHECK(unix_error(directory / "no/socket").ends_with(": No such file or directory"));
  }
}

TEST_CASE("write_port_file") {
  const temporary_directory directory;
  const std::string path = directory / "ports";
  const auto tcp = net::listen_tcp({"127.0.0.1"}, 0, 8);
  const auto udp = net::bind_udp({"127.0.0.1"}, 0);
  const auto local = net::listen_unix(directory / "socket", 0700, 8);
  std::vector<int> sockets{tcp[0].get(), local.get(), udp[0].get()};
  std::string expected = "TCP INET: " + std::to_string(net::local_port(tcp[0].get())) +
                         "\nUDP INET: " + std::to_string(net::local_port(udp[0].get())) + "\n";
  std::vector<unique_fd> tcp6;
  if (has_ipv6()) {
    tcp6 = net::listen_tcp({"::1"}, 0, 8);
    sockets.push_back(tcp6[0].get());
    expected += "TCP INET6: " + std::to_string(net::local_port(tcp6[0].get())) + "\n";
  }

  std::ofstream(path) << "old";
  std::ifstream reader_of_the_old(path);
  net::write_port_file(path, sockets);
  CHECK(unit::contents(path) == expected);
  CHECK(!std::filesystem::exists(path + ".lck"));
  std::string old;
  std::getline(reader_of_the_old, old);
  CHECK(old == "old");  // replaced as a whole, never rewritten in place

  CHECK(unit::thrown_text<std::system_error>([&] { net::write_port_file(directory / "no/ports", sockets); }) ==
        "write " + directory.path() + "/no/ports.lck: No such file or directory");
}

TEST_CASE("set_nodelay") {
  const auto listener = net::listen_tcp({"127.0.0.1"}, 0, 8);
  const connection both = connect_to(listener[0].get());
  CHECK(option(both.accepted.get(), IPPROTO_TCP, TCP_NODELAY) == 0);
  net::set_nodelay(both.accepted.get());
  CHECK(option(both.accepted.get(), IPPROTO_TCP, TCP_NODELAY) == 1);
}

TEST_CASE("set_keepalive: a listener's is inherited") {
  const auto listener = net::listen_tcp({"127.0.0.1"}, 0, 8);
  for (const bool on : {true, false}) {
    CAPTURE(on);
    net::set_keepalive(listener[0].get(), on);
    CHECK((option(connect_to(listener[0].get()).accepted.get(), SOL_SOCKET, SO_KEEPALIVE) == 1) == on);
  }
}

TEST_CASE("where a server is") {
  const net::address four = net::resolve_tcp("127.0.0.1:11211");
  CHECK(four.storage.ss_family == AF_INET);
  CHECK(four.length > 0);
  CHECK(net::resolve_tcp("[::1]:11211").storage.ss_family == AF_INET6);
  const net::address six = net::resolve_tcp("::1", 11211);
  const auto& where = reinterpret_cast<const sockaddr_in6&>(six.storage);
  CHECK(where.sin6_family == AF_INET6);
  CHECK(ntohs(where.sin6_port) == 11211);
  for (const auto* wrong : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", ":11211"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(static_cast<void>(net::resolve_tcp(wrong)), std::system_error);
  }
  CHECK(net::unix_address("/tmp/s").storage.ss_family == AF_UNIX);
  CHECK_THROWS_AS(static_cast<void>(net::unix_address("")), std::system_error);
  CHECK_THROWS_AS(static_cast<void>(net::unix_address(std::string(200, 'x'))), std::system_error);
}

// A socket that is closed with input unread sends a reset, and one that has read it all an end.
TEST_CASE("drop_input: the peer hears an end, and no reset") {
  const auto listener = net::listen_tcp({"127.0.0.1"}, 0, 8);
  connection both = connect_to(listener[0].get());
  const std::string unread(100'000, 'x');
  REQUIRE(send(both.client.get(), unread.data(), unread.size(), 0) == static_cast<ssize_t>(unread.size()));
  net::drop_input(both.accepted.get());
  both.accepted.reset();
  char byte;
  CHECK(recv(both.client.get(), &byte, 1, 0) == 0);
}
