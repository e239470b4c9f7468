// Fuzz target: a chapter's server, and a client that sends, listens, and leaves as the fuzzer likes; then another one,
// in its place. Built once for each chapter, with its sources.
#include <event2/event.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/net/unique_fd.h"
#include "common/settings/settings.h"
#include "common/trace/tracer.h"
#include "server.h"
#include "tests/fuzz/conversation.h"
#include "tests/fuzz/lines.h"
#include "tests/fuzz/packets.h"

// Instead of the C library's: a server asks for the time when it likes, and no time passes.
extern "C" std::time_t time(std::time_t* when) noexcept {
  if (when != nullptr) *when = fuzz::now;
  return fuzz::now;
}

extern "C" int clock_gettime(clockid_t which, timespec* when) noexcept {
  if (which != CLOCK_MONOTONIC) return static_cast<int>(syscall(SYS_clock_gettime, which, when));
  *when = {fuzz::now, 0};
  return 0;
}

namespace {

using fuzz::script;

// No server gets here: an event loop that goes on so long will go on for ever.
constexpr int most_rounds = 1'000'000;

constexpr rlim_t most_descriptors = 256;

// One lock for each two buckets at least, in the chapters that have locks.
settings small_items() {
  settings opts;
  opts.item_size_max = fuzz::item_size_max;
  opts.num_threads = 1;
  opts.hashpower_init = 11;
  return opts;
}

// The chapters grow, and these functions hide it: a template may ask what a chapter has.

// What serves connections: the server, or in the chapters with threads, one of those. The master's will do, as no
// thread of its own runs it.
template <typename server_type>
auto& worker_of(server_type& srv) {
  if constexpr (requires { srv.dispatcher_thread; }) {
    return srv.dispatcher_thread;
  } else {
    return srv;
  }
}

template <typename worker_type>
event_base* base_of(worker_type& worker) {
  if constexpr (requires { worker.main_base; }) {
    return worker.main_base.get();
  } else {
    return worker.base.get();
  }
}

template <typename states>
constexpr states first_state() {
  if constexpr (requires { states::conn_new_cmd; }) {
    return states::conn_new_cmd;
  } else {
    return states::conn_read;
  }
}

// A binary request is read in parts; a chapter whose connections remember which part it is speaks both protocols.
template <typename connection_type>
constexpr bool speaks_packets() {
  return requires(connection_type & c) { c.request.substate; };
}

template <typename worker_type>
conn* open_connection(worker_type& worker, net::unique_fd fd) {
  constexpr conn_states state = first_state<conn_states>();
  constexpr short flags = EV_READ | EV_PERSIST;
  if constexpr (requires { conn_new(worker, std::move(fd), state, flags); }) {
    return conn_new(worker, std::move(fd), state, flags);
  } else {
    return conn_new(worker, std::move(fd), state, flags, data_buffer_size, {});
  }
}

// Counts what the trace tells, and says nothing. Owns: nothing; the number outlives it.
class listener : public trace_sink {
 public:
  explicit listener(std::size_t& heard) : heard_(heard) {}
  void hear(const trace_event&) noexcept override { ++heard_; }

 private:
  std::size_t& heard_;
};

struct socket_pair {
  net::unique_fd server;
  net::unique_fd client;
};

// The server's end takes so little that most replies go out in several writes.
socket_pair make_pair() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == -1) {
    throw std::system_error(errno, std::generic_category(), "socketpair");
  }
  constexpr int as_little_as_possible = 1;
  setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &as_little_as_possible, sizeof as_little_as_possible);
  return {net::unique_fd(fds[0]), net::unique_fd(fds[1])};
}

// A server and its only client, in one thread. Clients come one after the other.
class connection : public fuzz::subject {
 public:
  connection() : opts_(small_items()), srv_(std::make_unique<server>(opts_)) {
    srv_->store.set_time(fuzz::now);
    srv_->trace.add(std::make_unique<listener>(events_));
    worker_of(*srv_).env.set_verbosity = {};
  }

  // A client comes, when there is none.
  void admit() {
    auto [served, client] = make_pair();
    client_ = std::move(client);
    hung_up_ = false;
    replies_.clear();
    if (open_connection(worker_of(*srv_), std::move(served)) == nullptr) {
      fuzz::fail("no connection");
    }
  }

  // Listens only if nothing else helps: the server does not read while it cannot write.
  void send(std::string_view bytes) override {
    while (!bytes.empty() && !hung_up_) {
      const ssize_t n = ::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
      if (n == -1 && errno == EPIPE) break;
      if (!run()) receive();
    }
  }

  std::string hear() override {
    do receive();
    while (run());
    return std::exchange(replies_, {});
  }

  bool has_hung_up() const override { return hung_up_; }

  // The client goes.
  void leave(script::ending how) {
    if (how == script::ending::no_more) {
      shutdown(client_.get(), SHUT_WR);
      (void)hear();
      if (!hung_up_) fuzz::fail("the client will send no more, but the server keeps the connection");
    }
    client_.reset();
    run();
    if (srv_->stats.curr_conns.value() != 0) fuzz::fail("the client is gone, but the server keeps the connection");
  }

  [[nodiscard]] storage::store& store() noexcept { return srv_->store; }

 private:
  // Until the server has nothing more to do. False: it had nothing at all.
  bool run() {
    for (int rounds = 0; rounds < most_rounds; ++rounds) {
      const std::size_t before = events_;
      event_base_loop(base_of(worker_of(*srv_)), EVLOOP_NONBLOCK);
      if (events_ == before) return rounds > 0;
    }
    fuzz::fail("the server does not come to rest");
  }

  // What is there.
  void receive() {
    std::array<char, 16384> room;
    for (;;) {
      const ssize_t n = recv(client_.get(), room.data(), room.size(), 0);
      if (n > 0) {
        replies_.append(room.data(), static_cast<std::size_t>(n));
        continue;
      }
      // A server that closes before it has read everything resets the connection.
      hung_up_ = n == 0 || errno != EAGAIN;
      return;
    }
  }

  std::size_t events_ = 0;  // that the trace has told
  settings opts_;           // the server refers to it
  net::unique_fd client_;   // is still open if the server ends first
  std::unique_ptr<server> srv_;
  std::string replies_;
  bool hung_up_ = false;
};

// As a server has it; but with few descriptors, since some chapters make room for all that there may be.
void prepare_process() {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min(limit.rlim_cur, most_descriptors);
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/dev/fd"), std::filesystem::directory_iterator());
}

std::unique_ptr<fuzz::model> make_model(bool of_packets, fuzz::contents& stored) {
  if (of_packets) return std::make_unique<fuzz::packets>(stored);
  return std::make_unique<fuzz::lines>(stored);
}

// The first client does as the script says. The second speaks the other protocol, where there are two, asks for what
// the first has stored, and where connections are used again, it gets that of the first. If nobody can know what was
// stored, it only asks whether the server is there.
void play(const script& s) {
  constexpr bool both = speaks_packets<conn>();
  const bool packets_first = both && s.begins_a_packet();
  connection c;
  fuzz::contents stored;

  c.admit();
  const auto first = make_model(packets_first, stored);
  fuzz::converse(c, *first, s);
  if (s.how() == script::ending::server_ends) return;
  c.leave(s.how());

  fuzz::contents unknown;
  c.admit();
  const auto second = make_model(both && !packets_first, s.is_polite() ? stored : unknown);
  fuzz::ask_for_everything(c, *second);
  c.leave(script::ending::polite);
  fuzz::check_memory(c.store(), stored);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < script::plan_size) return 0;
  prepare_process();
  const std::ptrdiff_t before = open_descriptors();
  play(script({data, size}));
  if (open_descriptors() != before) fuzz::fail("the server left a descriptor open");
  return 0;
}
