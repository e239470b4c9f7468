// The load generator of tests/bench/run: keeps some connections busy with requests, compares every reply with the one
// expected, byte for byte, and prints one line of JSON about the time it took.
//
// One thread, one epoll. All requests and replies lie ready in memory before the first is sent, so a request costs a
// copy, a send, a recv and a comparison: less than any server spends on it. The server is the bottleneck, and is what
// we measure.
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/net/unique_fd.h"

namespace {

using steady = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// ---- What to do -----------------------------------------------------------------------------------------------------

enum class commands : std::uint8_t { version, get, set, mix, fill };

struct options {
  in_port_t port = 11211;
  commands command = commands::get;
  std::size_t connections = 50;
  std::size_t pipeline = 1;      // requests sent at once, before any of their replies is read
  std::size_t keys_per_get = 1;  // "get a b c …"
  bool reconnect = false;        // a new connection for each batch of `pipeline` requests
  std::uint64_t requests = 0;    // 0: as many as fit into `seconds`
  double seconds = 1;
  double warm_up = 0;         // seconds of requests that are checked but not measured
  std::size_t keys = 10'000;  // that the requests are spread over
  std::size_t value_size = 100;
  bool attended = false;  // somebody reads "ready" after the warm-up, and answers with a line to begin the measurement
};

constexpr std::string_view usage = R"(usage: load [option]…

Loads a memcached on 127.0.0.1 and checks every byte of its replies. Exit status 1: a reply was wrong, or there was none.

  --port=N            where the server listens (11211)
  --command=WORD      get, set, mix (nine gets, one set), version, or fill: every key set once, in order (get)
                      get and mix expect every key to be there: run fill first
  --connections=N     kept busy at the same time (50)
  --pipeline=N        requests sent at once, before their replies are read (1)
  --keys-per-get=N    keys in one get (1)
  --reconnect         connect anew for every request (every --pipeline requests), and close after its reply
  --requests=N        stop after N requests, or
  --seconds=S         after S seconds (1)
  --warm-up=S         load for S seconds before, checked but not measured (0)
  --keys=N            the requests are spread over N keys of 12 bytes (10000)
  --value-size=N      bytes of a value (100)
  --attended          print "ready" after the warm-up, and wait for a line on standard input
)";

template <typename number>
number parse(std::string_view text, number least) {
  number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least) {
    throw std::invalid_argument("not a number in range: '" + std::string{text} + "'");
  }
  return value;
}

commands parse_command(std::string_view word) {
  if (word == "version") return commands::version;
  if (word == "get") return commands::get;
  if (word == "set") return commands::set;
  if (word == "mix") return commands::mix;
  if (word == "fill") return commands::fill;
  throw std::invalid_argument("no such command: '" + std::string{word} + "'");
}

options parse_options(int argc, char** argv) {
  static constexpr std::array<option, 14> known{{
      {"port", required_argument, nullptr, 'p'},
      {"command", required_argument, nullptr, 'o'},
      {"connections", required_argument, nullptr, 'c'},
      {"pipeline", required_argument, nullptr, 'l'},
      {"keys-per-get", required_argument, nullptr, 'g'},
      {"reconnect", no_argument, nullptr, 'e'},
      {"requests", required_argument, nullptr, 'r'},
      {"seconds", required_argument, nullptr, 's'},
      {"warm-up", required_argument, nullptr, 'w'},
      {"keys", required_argument, nullptr, 'k'},
      {"value-size", required_argument, nullptr, 'v'},
      {"attended", no_argument, nullptr, 'a'},
      {"help", no_argument, nullptr, 'h'},
      {nullptr, 0, nullptr, 0},
  }};
  options opts;
  for (int flag; (flag = getopt_long(argc, argv, "", known.data(), nullptr)) != -1;) {
    const std::string_view value = optarg != nullptr ? optarg : "";
    switch (flag) {
      case 'p': opts.port = parse<in_port_t>(value, 1); break;
      case 'o': opts.command = parse_command(value); break;
      case 'c': opts.connections = parse<std::size_t>(value, 1); break;
      case 'l': opts.pipeline = parse<std::size_t>(value, 1); break;
      case 'g': opts.keys_per_get = parse<std::size_t>(value, 1); break;
      case 'e': opts.reconnect = true; break;
      case 'r': opts.requests = parse<std::uint64_t>(value, 1); break;
      case 's': opts.seconds = parse<double>(value, 0); break;
      case 'w': opts.warm_up = parse<double>(value, 0); break;
      case 'k': opts.keys = parse<std::size_t>(value, 1); break;
      case 'v': opts.value_size = parse<std::size_t>(value, 0); break;
      case 'a': opts.attended = true; break;
      case 'h': std::cout << usage; std::exit(0);
      default: throw std::invalid_argument("see load --help");
    }
  }
  if (optind < argc) throw std::invalid_argument("left over: '" + std::string{argv[optind]} + "'");
  if (opts.command == commands::fill) opts.requests = opts.keys;
  return opts;
}

// ---- What to send, and what must come back --------------------------------------------------------------------------

// Every request and reply, made once. A value is noise that its key decides, with any byte in it: a get has one right
// answer whoever set the key last, and a server that looks for a line end inside a value is found out.
class corpus {
 public:
  corpus(std::size_t keys, std::size_t value_size) {
    std::minstd_rand noise;
    for (std::size_t k = 0; k < keys; ++k) {
      const std::string number = std::to_string(k);
      const std::string name = "key-" + std::string(8 - std::min<std::size_t>(8, number.size()), '0') + number;
      const std::string size = std::to_string(value_size);
      std::string value(value_size, '\0');
      std::ranges::generate(value, [&] { return static_cast<char>(noise() >> 8); });
      key_size_ = name.size();
      sets_.push_back("set " + name + " 0 0 " + size + "\r\n" + value + "\r\n");
      values_.push_back("VALUE " + name + " 0 " + size + "\r\n" + value + "\r\n" + std::string{end});
    }
  }

  static constexpr std::string_view end = "END\r\n";

  [[nodiscard]] std::size_t size() const noexcept { return sets_.size(); }
  [[nodiscard]] std::string_view key(std::size_t k) const noexcept { return {sets_[k].data() + 4, key_size_}; }
  [[nodiscard]] std::string_view set(std::size_t k) const noexcept { return sets_[k]; }
  [[nodiscard]] std::string_view value_and_end(std::size_t k) const noexcept { return values_[k]; }
  [[nodiscard]] std::string_view value(std::size_t k) const noexcept {
    return {values_[k].data(), values_[k].size() - end.size()};
  }

 private:
  std::size_t key_size_ = 0;
  std::vector<std::string> sets_;
  std::vector<std::string> values_;
};

// A run of bytes that must come next. The reply to one request is one piece or several.
struct piece {
  std::string_view bytes;
  bool ends_reply;
};

// Composes the requests of a run, always the same for the same options.
class script {
 public:
  script(const options& opts, const corpus& all) : opts_(opts), corpus_(all) {}

  // Appends one request to `output` and its reply to `expected`.
  void next(std::string& output, std::vector<piece>& expected) {
    const std::uint64_t turn = turn_++;
    switch (opts_.command) {
      case commands::version:
        output += "version\r\n";
        expected.push_back({version_, true});
        return;
      case commands::get: get(output, expected); return;
      case commands::set: set(any_key(), output, expected); return;
      case commands::mix:
        if (turn % 10 == 9) {
          set(any_key(), output, expected);
        } else {
          get(output, expected);
        }
        return;
      case commands::fill: set(turn % corpus_.size(), output, expected); return;
    }
  }

  // The one reply that differs from server to server: the text of its first answer is what all others must be.
  void learn_version(std::string line) { version_ = std::move(line); }

 private:
  void get(std::string& output, std::vector<piece>& expected) {
    output += "get";
    std::size_t k = 0;
    for (std::size_t n = 0; n < opts_.keys_per_get; ++n) {
      k = any_key();
      output += ' ';
      output += corpus_.key(k);
      if (opts_.keys_per_get > 1) expected.push_back({corpus_.value(k), false});
    }
    output += "\r\n";
    expected.push_back({opts_.keys_per_get > 1 ? corpus::end : corpus_.value_and_end(k), true});
  }

  void set(std::size_t k, std::string& output, std::vector<piece>& expected) {
    output += corpus_.set(k);
    expected.push_back({"STORED\r\n", true});
  }

  std::size_t any_key() noexcept { return random_() % corpus_.size(); }

  const options& opts_;
  const corpus& corpus_;
  std::minstd_rand random_;
  std::uint64_t turn_ = 0;
  std::string version_;
};

// ---- What is measured -----------------------------------------------------------------------------------------------

// Counts times by their logarithm, 32 steps to a power of two: any percentile is right within 3 per cent.
class histogram {
 public:
  void record(steady::duration time) noexcept { ++counts_[slot(static_cast<std::uint64_t>(time.count()))]; }

  // The time that this share of all recorded times does not exceed; 0 if there are none.
  [[nodiscard]] double microseconds(double share) const noexcept {
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts_) total += count;
    const double wanted = share * static_cast<double>(total);
    std::uint64_t seen = 0;
    for (std::size_t s = 0; s < counts_.size(); ++s) {
      seen += counts_[s];
      if (counts_[s] > 0 && static_cast<double>(seen) >= wanted) return static_cast<double>(upper_end(s)) / 1000;
    }
    return 0;
  }

 private:
  static_assert(std::is_same_v<steady::period, std::nano>);
  static constexpr unsigned step_bits = 5;
  static constexpr std::uint64_t steps = 1u << step_bits;

  // Times below 2 * steps ns have a slot each; above, a slot is as wide as the time's leading bits leave room for.
  static std::size_t slot(std::uint64_t ns) noexcept {
    if (ns < 2 * steps) return ns;
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - step_bits - 1;
    return shift * steps + (ns >> shift);
  }
  static std::uint64_t upper_end(std::size_t s) noexcept {
    if (s < 2 * steps) return s;
    const std::uint64_t shift = s / steps - 1;
    return ((s % steps + steps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (65 - step_bits) * steps> counts_{};
};

// What one phase may still send.
struct limits {
  std::uint64_t requests;
  steady::time_point until;
};

// ---- The load itself ------------------------------------------------------------------------------------------------

// Owns: its socket. Closed and reopened with --reconnect.
struct connection {
  net::unique_fd sfd;
  std::string output;
  std::size_t sent = 0;         // bytes of output
  bool waits_to_send = false;   // EPOLLOUT is armed
  std::vector<piece> expected;  // the replies to the whole batch
  std::size_t next = 0;         // the piece that is arriving
  std::size_t matched = 0;      // bytes of it that have arrived
  steady::time_point started;   // when the batch was sent
};

class load {
 public:
  explicit load(const options& opts)
      : opts_(opts), corpus_(opts.keys, opts.value_size), script_(opts, corpus_), connections_(opts.connections) {
    if (!epoll_) fail("epoll_create1");
    if (opts.command == commands::version) script_.learn_version(ask_version());
  }

  // Keeps all connections busy until the limit, then waits for the replies still to come. Throws std::runtime_error
  // for a wrong reply or none, std::system_error when the server cannot be reached.
  void run(limits phase) {
    limits_ = phase;
    completed_ = 0;
    latencies_ = {};
    for (connection& c : connections_) start_batch(c, steady::now());
    std::array<epoll_event, 256> events;
    while (busy_ > 0) {
      const int ready = epoll_wait(epoll_.get(), events.data(), events.size(), patience_ms);
      if (ready < 0 && errno != EINTR) fail("epoll_wait");
      if (ready == 0) throw std::runtime_error("no reply for 10 seconds");
      for (int i = 0; i < ready; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        connection& c = connections_[event.data.u64];
        if ((event.events & EPOLLOUT) != 0) send_rest(c);
        if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) receive(c);
      }
    }
  }

  [[nodiscard]] std::uint64_t completed() const noexcept { return completed_; }
  [[nodiscard]] const histogram& latencies() const noexcept { return latencies_; }

 private:
  static constexpr int patience_ms = 10'000;

  void start_batch(connection& c, steady::time_point now) {
    const std::uint64_t batch = now < limits_.until ? std::min<std::uint64_t>(opts_.pipeline, limits_.requests) : 0;
    if (batch == 0) return;
    limits_.requests -= batch;
    c.started = now;
    c.output.clear();
    c.expected.clear();
    c.sent = c.next = c.matched = 0;
    for (std::uint64_t i = 0; i < batch; ++i) script_.next(c.output, c.expected);
    ++busy_;
    if (!c.sfd) connect(c);
    send_rest(c);
  }

  void finish_batch(connection& c, steady::time_point now) {
    --busy_;
    if (opts_.reconnect) c.sfd.reset();
    start_batch(c, now);
  }

  void connect(connection& c) {
    c.sfd = open_socket(SOCK_NONBLOCK);
    // A failure shows up when the first send or recv does.
    const sockaddr_in server = loopback(INADDR_LOOPBACK, opts_.port);
    if (::connect(c.sfd.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) < 0 && errno != EINPROGRESS) {
      fail("connect");
    }
    c.waits_to_send = false;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
  }

  net::unique_fd open_socket(int flags) {
    net::unique_fd sfd{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)};
    if (!sfd) fail("socket");
    const int on = 1;
    setsockopt(sfd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (opts_.reconnect) {
      // A closed connection holds its pair of addresses for a minute (TIME_WAIT), and one address of ours has 28,000
      // ports: a second's worth. All of 127.0.0.0/8 is ours. The port is chosen on connect, when the kernel knows the
      // whole pair.
      setsockopt(sfd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      const sockaddr_in ours = loopback(INADDR_LOOPBACK + 1 + source_++ % 250, 0);
      if (bind(sfd.get(), reinterpret_cast<const sockaddr*>(&ours), sizeof ours) < 0) fail("bind");
    }
    return sfd;
  }

  static sockaddr_in loopback(std::uint32_t address, in_port_t port) noexcept {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_addr.s_addr = htonl(address);
    result.sin_port = htons(port);
    return result;
  }

  void watch(const connection& c, int operation, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.u64 = static_cast<std::uint64_t>(&c - connections_.data())}};
    if (epoll_ctl(epoll_.get(), operation, c.sfd.get(), &event) < 0) fail("epoll_ctl");
  }

  void send_rest(connection& c) {
    while (c.sent < c.output.size()) {
      const ssize_t n = send(c.sfd.get(), c.output.data() + c.sent, c.output.size() - c.sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) break;
      if (n < 0) fail("send");
      c.sent += static_cast<std::size_t>(n);
    }
    const bool rest = c.sent < c.output.size();
    if (rest != c.waits_to_send) watch(c, EPOLL_CTL_MOD, rest ? EPOLLIN | EPOLLOUT : EPOLLIN);
    c.waits_to_send = rest;
  }

  void receive(connection& c) {
    const ssize_t n = recv(c.sfd.get(), input_.data(), input_.size(), 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) fail("recv");
    if (n == 0) wrong(c, "the server closed the connection");
    const steady::time_point now = steady::now();
    check(c, {input_.data(), static_cast<std::size_t>(n)}, now);
    if (c.next == c.expected.size()) finish_batch(c, now);
  }

  void check(connection& c, std::string_view input, steady::time_point now) {
    while (!input.empty()) {
      if (c.next == c.expected.size()) wrong(c, "more than the reply: " + quoted(input));
      const piece& want = c.expected[c.next];
      const std::string_view rest = want.bytes.substr(c.matched, input.size());
      if (input.substr(0, rest.size()) != rest) {
        wrong(c, "expected " + quoted(want.bytes.substr(c.matched)) + ", received " + quoted(input));
      }
      input.remove_prefix(rest.size());
      c.matched += rest.size();
      if (c.matched < want.bytes.size()) return;
      c.matched = 0;
      ++c.next;
      if (want.ends_reply) {
        latencies_.record(now - c.started);
        ++completed_;
      }
    }
  }

  [[noreturn]] void wrong(const connection& c, const std::string& what) const {
    const std::string place = "connection " + std::to_string(&c - connections_.data()) + ", after " +
                              std::to_string(completed_) + " good replies: ";
    throw std::runtime_error(place + what + "\n  the batch began with " + quoted(c.output));
  }

  static std::string quoted(std::string_view bytes) {
    static constexpr std::size_t enough = 60;
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string text = "\"";
    for (const char byte : bytes.substr(0, enough)) {
      const auto code = static_cast<unsigned char>(byte);
      if (byte == '\r') {
        text += "\\r";
      } else if (byte == '\n') {
        text += "\\n";
      } else if (code < ' ' || code > '~') {
        text += {'\\', 'x', digits[code / 16], digits[code % 16]};
      } else {
        text += byte;
      }
    }
    return text + (bytes.size() > enough ? "\"…" : "\"");
  }

  std::string ask_version() {
    const net::unique_fd sfd = open_socket(0);
    const sockaddr_in server = loopback(INADDR_LOOPBACK, opts_.port);
    if (::connect(sfd.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) < 0) fail("connect");
    if (send(sfd.get(), "version\r\n", 9, MSG_NOSIGNAL) < 0) fail("send");
    std::string line;
    while (!line.ends_with("\r\n")) {
      const ssize_t n = recv(sfd.get(), input_.data(), input_.size(), 0);
      if (n < 0) fail("recv");
      if (n == 0) throw std::runtime_error("the server closed the connection on \"version\"");
      line.append(input_.data(), static_cast<std::size_t>(n));
    }
    if (!line.starts_with("VERSION ")) throw std::runtime_error("not a version: " + quoted(line));
    return line;
  }

  const options& opts_;
  corpus corpus_;
  script script_;
  net::unique_fd epoll_{epoll_create1(EPOLL_CLOEXEC)};
  std::vector<connection> connections_;
  std::vector<char> input_ = std::vector<char>(64 * 1024);
  std::uint32_t source_ = 0;
  limits limits_{};
  std::size_t busy_ = 0;  // connections that wait for replies
  std::uint64_t completed_ = 0;
  histogram latencies_;
};

// Of this process, in seconds.
double cpu_time() noexcept {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

limits no_more_than(double seconds) {
  const std::chrono::duration<double> length{seconds};
  return {std::numeric_limits<std::uint64_t>::max(),
          steady::now() + std::chrono::duration_cast<steady::duration>(length)};
}

void measure(const options& opts) {
  load it{opts};
  if (opts.warm_up > 0) it.run(no_more_than(opts.warm_up));
  if (opts.attended) {
    std::cout << "ready" << std::endl;
    std::string line;
    std::getline(std::cin, line);
  }

  const double cpu_start = cpu_time();
  const steady::time_point start = steady::now();
  it.run(opts.requests > 0 ? limits{opts.requests, steady::time_point::max()} : no_more_than(opts.seconds));
  const std::chrono::duration<double> took = steady::now() - start;

  std::cout << "{\"requests\": " << it.completed() << ", \"seconds\": " << took.count()
            << ", \"p50_us\": " << it.latencies().microseconds(0.5)
            << ", \"p99_us\": " << it.latencies().microseconds(0.99)
            << ", \"max_us\": " << it.latencies().microseconds(1)
            << ", \"load_cpu_seconds\": " << cpu_time() - cpu_start << "}" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    measure(parse_options(argc, argv));
    return 0;
  } catch (const std::invalid_argument& error) {
    std::cerr << "load: " << error.what() << '\n';
    return 64;
  } catch (const std::exception& error) {
    std::cerr << "load: " << error.what() << '\n';
    return 1;
  }
}
