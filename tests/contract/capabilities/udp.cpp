// udp: requests and replies as datagrams (-U), each with a header of eight bytes: which request, which datagram of it,
// of how many. Where a test says that nothing is answered it asks for something else next, and one worker keeps the
// order.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "common/net/unique_fd.h"
#include "tests/contract/harness/client.h"
#include "tests/contract/harness/packets.h"
#include "tests/contract/harness/server_process.h"
#include "tests/contract/harness/target.h"

namespace contract {
namespace {

constexpr std::string_view refused = "SERVER_ERROR multi-packet request not supported\r\n";

struct datagram {
  unsigned request_id;
  unsigned sequence;
  unsigned total;
  std::string body;
  std::size_t size;
};

int udp_port(const server_process& server) {
  std::ifstream file{server.directory() / "port"};
  const std::string label = "UDP INET: ";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(label)) return std::stoi(line.substr(label.size()));
  }
  throw std::runtime_error("the server does not say where its UDP port is");
}

// Owns: the socket. Its waits have the deadline of all tests.
class udp_client {
 public:
  explicit udp_client(const server_process& server) : socket_{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(udp_port(server)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::system_error(errno, std::generic_category(), "connect to the UDP port");
    }
  }

  void send_raw(std::string_view bytes) {
    if (::send(socket_.get(), bytes.data(), bytes.size(), 0) < 0) {
      throw std::system_error(errno, std::generic_category(), "send a datagram");
    }
  }

  void send(unsigned request_id, std::string_view body, unsigned total = 1) {
    std::string bytes;
    for (const unsigned field : {request_id, 0u, total, 0u}) {
      bytes += static_cast<char>(field >> 8);
      bytes += static_cast<char>(field & 0xff);
    }
    send_raw(bytes.append(body));
  }

  [[nodiscard]] datagram receive() {
    pollfd awaited{socket_.get(), POLLIN, 0};
    if (::poll(&awaited, 1, static_cast<int>(under_test().deadline.count())) != 1) {
      throw deadline_passed("no datagram within the deadline");
    }
    std::array<char, 65536> bytes;
    const ssize_t n = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (n < 8) throw std::runtime_error("a datagram without its header");
    const auto field = [&](std::size_t i) {
      return static_cast<unsigned char>(bytes[i]) * 256u + static_cast<unsigned char>(bytes[i + 1]);
    };
    const auto size = static_cast<std::size_t>(n);
    return {field(0), field(2), field(4), std::string{bytes.data() + 8, size - 8}, size};
  }

  // A question whose answer is one datagram.
  [[nodiscard]] std::string ask(unsigned request_id, std::string_view body) {
    send(request_id, body);
    const datagram answer = receive();
    CHECK(answer.request_id == request_id);
    CHECK(answer.sequence == 0);
    CHECK(answer.total == 1);
    return answer.body;
  }

 private:
  net::unique_fd socket_;
};

}  // namespace

TEST_SUITE("udp") {
  TEST_CASE("a datagram is a request, and the answer bears its number") {
    const server_process server{{"-U", "-1"}};
    udp_client c{server};
    for (const unsigned id : {0u, 1u, 255u, 256u, 0x1234u, 65535u}) {
      CAPTURE(id);
      CHECK(c.ask(id, "version\r\n").starts_with("VERSION "));
    }
    CHECK(c.ask(7, "set a 5 0 3\r\nabc\r\n") == "STORED\r\n");
    CHECK(c.ask(8, "get a b\r\n") == "VALUE a 5 3\r\nabc\r\nEND\r\n");
    CHECK(c.ask(9, "nonsense\r\n") == "ERROR\r\n");
    client over_tcp{server};
    over_tcp.send("get a\r\n");
    CHECK(over_tcp.receive_until("END\r\n") == "VALUE a 5 3\r\nabc\r\nEND\r\n");
  }

  TEST_CASE("a long reply comes in several datagrams, numbered from 0") {
    const server_process server{{"-U", "-1"}};
    client over_tcp{server};
    udp_client c{server};
    // The lengths at which the last datagram is just full, or just not, lie around 1,392 * n.
    for (const std::size_t length : {1'370u, 1'371u, 1'372u, 1'373u, 1'374u, 1'375u, 2'763u, 100'000u}) {
      CAPTURE(length);
      std::string value;
      for (std::size_t i = 0; i < length; ++i) value += static_cast<char>('a' + i * 7 % 26);
      REQUIRE(over_tcp.ask("set a 0 0 " + std::to_string(length) + "\r\n" + value) == "STORED\r\n");
      c.send(42, "get a\r\n");
      std::map<unsigned, std::string> parts;
      unsigned total = 1;
      while (parts.size() < total) {
        const datagram part = c.receive();
        total = part.total;
        CHECK(part.request_id == 42);
        CHECK(part.sequence < total);
        CHECK((part.sequence + 1 < total ? part.size == 1'400 : part.size <= 1'400));
        REQUIRE(parts.emplace(part.sequence, part.body).second);
      }
      std::string whole;
      for (const auto& [sequence, body] : parts) whole += body;
      const std::string expected = "VALUE a 0 " + std::to_string(length) + "\r\n" + value + "\r\nEND\r\n";
      CHECK((whole == expected));
      CHECK(total == (expected.size() + 1'391) / 1'392);
    }
  }

  TEST_CASE("two requests in one datagram are answered one by one") {
    const server_process server{{"-U", "-1"}};
    udp_client c{server};
    c.send(3, "set a 0 0 1\r\nx\r\nget a\r\n");
    const datagram first = c.receive();
    const datagram second = c.receive();
    CHECK(first.body == "STORED\r\n");
    CHECK(second.body == "VALUE a 0 1\r\nx\r\nEND\r\n");
    CHECK(first.request_id == 3);
    CHECK(second.request_id == 3);
  }

  TEST_CASE("a request of several datagrams is refused") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    for (const unsigned total : {0u, 2u, 256u, 257u, 65535u}) {
      CAPTURE(total);
      c.send(total, "set a 0 0 1\r\nx\r\n", total);
      const datagram answer = c.receive();
      CHECK(answer.request_id == total);
      CHECK(answer.total == 1);
      CHECK(answer.body == refused);
    }
    CHECK(c.ask(5, "get a\r\n") == "END\r\n");
  }

  // Or two servers could be set talking to each other, for ever, by one datagram with a forged sender.
  TEST_CASE("an error is not answered, in one datagram or in several") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    for (const unsigned total : {1u, 2u}) {
      for (const char* error : {"ERROR\r\n", "ERROR Too many open connections\r\n", "CLIENT_ERROR bad data chunk\r\n",
                                "SERVER_ERROR multi-packet request not supported\r\n", "ERROR"}) {
        c.send(1, error, total);
      }
    }
    c.send(2, "version\r\n");
    CHECK(c.receive().request_id == 2);
    c.send(3, "ERRO\r\n");
    CHECK(c.receive().body == "ERROR\r\n");
  }

  TEST_CASE("what is too short to be a request is passed over") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    for (std::size_t length = 0; length <= 8; ++length) {
      CAPTURE(length);
      c.send_raw(std::string{"\0\x01\0\0\0\x01\0\0", 8}.substr(0, length));
      CHECK(c.ask(static_cast<unsigned>(length) + 100, "version\r\n").starts_with("VERSION "));
    }
  }

  TEST_CASE("noreply is silent here, too") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    c.send(1, "set a 0 0 1 noreply\r\nx\r\n");
    CHECK(c.ask(2, "get a\r\n") == "VALUE a 0 1\r\nx\r\nEND\r\n");
  }

  // A datagram has no rest that may come later, and the next one is another request.
  TEST_CASE("half a command is forgotten") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    c.send(1, "vers");
    CHECK(c.ask(2, "ion\r\n") == "ERROR\r\n");
    c.send(3, "get " + std::string(60'000, 'x'));
    CHECK(c.ask(4, "version\r\n").starts_with("VERSION "));
  }

  TEST_CASE("a line that is too long is refused, and the socket serves on") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    for (const char* const end : {"", "\r\n", "\r\nversion\r\n"}) {
      CHECK(c.ask(4, std::string(60'000, 'x') + end) == "CLIENT_ERROR line too long\r\n");
      CHECK(c.ask(5, "version\r\n").starts_with("VERSION "));
    }
  }

  TEST_CASE("half a value is refused, and nothing is stored") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    for (const char* half :
         {"set a 0 0 10\r\n", "set a 0 0 10\r\nhalf", "set a 0 0 10\r\nhalf value", "set a 0 0 4\r\nhalf\r"}) {
      CAPTURE(half);
      CHECK(c.ask(1, half) == refused);
      CHECK(c.ask(2, "get a\r\n") == "END\r\n");
    }
    CHECK(c.ask(3, "set a 0 0 3\r\nabcde\r\n") == "CLIENT_ERROR bad data chunk\r\n");
    CHECK(c.receive().body == "ERROR\r\n");  // as over TCP: the search for lines goes on where the value should end
    CHECK(c.ask(4, "set a 0 0 2000000\r\nxy") == "SERVER_ERROR object too large for cache\r\n");
    CHECK(c.ask(5, "version\r\n").starts_with("VERSION "));
  }

  // As a line, a noop is "\x80" and half a line of 22 bytes: its opcode is a line feed.
  TEST_CASE("the first byte decides, once a datagram") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    const std::string noop = packets::encode(packets::bare(packets::noop));
    const bool binary = under_test().can("binary");
    const std::string answer = binary ? packets::encode(packets::reply{}, packets::noop) : "ERROR\r\n";
    c.send(1, "version\r\n" + noop);
    CHECK(c.receive().body.starts_with("VERSION "));
    const datagram second = c.receive();
    CHECK(second.request_id == 1);
    CHECK(second.body == "ERROR\r\n");
    CHECK(c.ask(2, noop) == answer);
    CHECK(c.ask(3, "version\r\n").starts_with("VERSION "));
    // The other way round: for who speaks packets the line is half a header, for who does not the end of a line.
    CHECK(c.ask(4, noop + "version\r\n") == answer);
    if (!binary) CHECK(c.receive().body == "ERROR\r\n");
    CHECK(c.ask(5, "version\r\n").starts_with("VERSION "));
  }

  // No line is the answer to who speaks packets; and to who does not, this packet is half a line.
  TEST_CASE("half a packet is forgotten, in silence") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    const std::string set = packets::encode(packets::update(packets::set, "half a value"));
    REQUIRE(set.find('\n') == std::string::npos);
    for (std::size_t length = 1; length < set.size(); ++length) {
      CAPTURE(length);
      c.send(1, set.substr(0, length));
      REQUIRE(c.ask(2, "version\r\n").starts_with("VERSION "));
    }
    CHECK(c.ask(3, "get @a\r\n") == "END\r\n");
  }

  TEST_CASE("garbage harms nobody") {
    const server_process server{{"-U", "-1", "-t", "1"}};
    udp_client c{server};
    std::uint32_t seed = 1;
    for (unsigned round = 0; round < 200; ++round) {
      std::string garbage;
      for (unsigned i = 0; i < round * 7; ++i) {
        seed = seed * 1'664'525 + 1'013'904'223;
        garbage += static_cast<char>(seed >> 24);
      }
      if (round % 2 == 0) {
        c.send_raw(garbage);
      } else {
        c.send(1, garbage + "\r\n");
      }
      const unsigned mine = 1'000 + round;
      c.send(mine, "version\r\n");
      datagram answer = c.receive();
      while (answer.request_id != mine || !answer.body.starts_with("VERSION ")) answer = c.receive();
    }
  }

  TEST_CASE("quit closes nothing: the socket is everybody's") {
    const server_process server{{"-U", "-1", "-t", "4"}};
    udp_client c{server};
    const std::size_t before = server.open_fds();
    for (unsigned i = 0; i < 50; ++i) {
      c.send(1, "quit\r\n");
      REQUIRE(c.ask(2, "version\r\n").starts_with("VERSION "));
    }
    CHECK(server.open_fds() == before);
  }

  // -vv names the descriptor on which a command came, and each worker has its own.
  TEST_CASE("all workers take their share of the datagrams") {
    const server_process server{{"-U", "-1", "-t", "4", "-vv"}};
    udp_client c{server};
    std::set<std::string> descriptors;
    const auto end = std::chrono::steady_clock::now() + under_test().deadline;
    while (descriptors.size() < 4 && std::chrono::steady_clock::now() < end) {
      for (unsigned i = 0; i < 40; ++i) c.send(i, "version\r\n");
      for (unsigned i = 0; i < 40; ++i) REQUIRE(c.receive().body.starts_with("VERSION "));
      std::istringstream lines{server.output()};
      for (std::string line; std::getline(lines, line);) {
        const auto number = line.find('<') + 1;  // "[worker 1] <30 version"
        if (line.ends_with(" version")) descriptors.insert(line.substr(number, line.find(' ', number) - number));
      }
    }
    CHECK(descriptors.size() == 4);
  }
}

}  // namespace contract
