// Setting up: the sockets, the event base, and a connection in conn_listening for each socket.
#include "server.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "common/net/sockets.h"
#include "common/protocol/version.h"
#include "common/settings/process.h"

namespace {

// What the command line says of the storage.
storage::options storage_options(const settings& opts, storage::locking locks) noexcept {
  return {
      .memory_limit = opts.maxbytes,
      .evict = opts.evict_to_free,
      .item_size_max = opts.item_size_max,
      .growth_factor = opts.factor,
      .chunk_size_min = opts.chunk_size,
      .use_cas = opts.use_cas,
      .hash_power = opts.hashpower_init,
      .locks = locks,
  };
}

}  // namespace

server::server(const ::settings& opts)
    : settings(opts),
      trace(opts.verbose, opts.trace),
      store(storage_options(opts, {.power = item_lock_power(opts)})),
      prefixes(std::make_shared<protocol::prefix_stats>()),
      dispatcher_thread(*this, 0) {
  conn_init(*this);
  event_base* const base = dispatcher_thread.base.get();
  constexpr timeval every_second{1, 0};
  event_assign(&clockevent, base, -1, EV_PERSIST, clock_handler, this);
  if (event_add(&clockevent, &every_second) == -1) throw std::runtime_error("cannot start the clock");

  evtimer_assign(&maxconnsevent, base, maxconns_handler, this);

  constexpr std::array signals{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
  for (std::size_t i = 0; i < signals.size(); ++i) {
    evsignal_assign(&signal_events[i], base, signals[i], signal_handler, this);
    if (signals[i] == SIGHUP && is_ignored(SIGHUP)) continue;  // under -d, and under nohup
    if (evsignal_add(&signal_events[i], nullptr) == -1) throw std::runtime_error("cannot listen for signals");
  }
}

server::~server() {
  trace.let_go();  // a worker that is held would never stop
  if (paused) resume_threads(*this);
  // All of them before the first is destroyed: "stats" on one worker reads the counters of the others.
  for (const auto& thread : threads) thread->thread = {};  // asks the worker to stop, and waits for it
  conns.clear();
  event_del(&clockevent);
  event_del(&maxconnsevent);
  for (struct event& signal : signal_events) event_del(&signal);
}

void conn_init(server& srv) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == -1) {
    throw std::system_error(errno, std::generic_category(), "cannot ask for the limit of open files");
  }
  srv.conns.resize(limit.rlim_cur);
}

namespace {

// There is nobody to accept: all workers wait on the same socket, each through a descriptor of its own, and whoever
// comes first takes the datagram.
void listen_for_datagrams(server& srv, net::unique_fd socket) {
  for (std::size_t i = 1; i < srv.threads.size(); ++i) {
    net::unique_fd another(fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!another) throw std::system_error(errno, std::generic_category(), "cannot duplicate the UDP socket");
    dispatch_conn_new(srv, std::move(another), conn_read, EV_READ | EV_PERSIST, udp_read_buffer_size, udp_transport);
  }
  dispatch_conn_new(srv, std::move(socket), conn_read, EV_READ | EV_PERSIST, udp_read_buffer_size, udp_transport);
}

}  // namespace

std::vector<listening_socket> server_sockets(const settings& opts) {
  std::vector<listening_socket> sockets;
  const auto add = [&](std::vector<net::unique_fd> more, network_transport transport) {
    for (net::unique_fd& fd : more) sockets.push_back({std::move(fd), transport});
  };
  if (!opts.socketpath.empty()) {
    sockets.push_back({net::listen_unix(opts.socketpath, opts.access, opts.backlog), local_transport});
    return sockets;
  }
  if (opts.port != 0) add(net::listen_tcp(opts.inter, std::max(opts.port, 0), opts.backlog), tcp_transport);
  if (opts.udpport != 0) add(net::bind_udp(opts.inter, std::max(opts.udpport, 0)), udp_transport);
  return sockets;
}

void start_listening(server& srv, std::vector<listening_socket> sockets) {
  std::vector<int> descriptors;
  for (listening_socket& socket : sockets) {
    const int sfd = descriptors.emplace_back(socket.fd.get());
    if (!srv.settings.nagle) net::set_nodelay(sfd);  // its clients inherit it
    srv.trace.listening(sfd);
    if (socket.transport == udp_transport) {
      listen_for_datagrams(srv, std::move(socket.fd));
    } else if (conn* const c = conn_new(srv.dispatcher_thread, std::move(socket.fd), conn_listening,
                                        EV_READ | EV_PERSIST, 1, socket.transport)) {
      srv.listen_conn.push_back(c);
    } else {
      throw std::runtime_error("cannot listen for events on the listening socket");
    }
  }
  if (const char* path = std::getenv("MEMCACHED_PORT_FILENAME")) net::write_port_file(path, descriptors);
}

namespace {

// "stats conns": every connection's address and state. What belongs to another thread is read as it is at the moment.
// conns_lock is held meanwhile, for one getpeername() per connection; a worker that wants to begin or close one waits.
void add_conns_stats(server& srv, const add_stat& add) {
  const std::scoped_lock hold(srv.conns_lock);
  for (const std::unique_ptr<conn>& c : srv.conns) {
    if (!c || !c->sfd) continue;
    const int sfd = c->sfd.get();
    const std::string number = std::to_string(sfd);
    const bool has_peer = c->state != conn_listening && c->transport != udp_transport;
    add(number + ":addr", has_peer ? net::peer_address(sfd) : net::local_address(sfd));
    add(number + ":state", state_text(c->state));
    add(number + ":secs_since_last_cmd",
        std::to_string(srv.store.time() - std::min<storage::unix_time>(c->last_cmd_time, srv.store.time())));
  }
}

}  // namespace

bool process_stats(server& srv, std::string_view group, const add_stat& add) {
  if (group == "settings") {
    add_settings_stats(add, srv.settings, srv.trace.verbosity(), srv.prefixes->on());
  } else if (group == "conns") {
    add_conns_stats(srv, add);
  } else if (group == "reset") {
    srv.stats.reset();
    threadlocal_stats_reset(srv);
  } else if (group.empty()) {
    add_process_stats(add, srv.clock, protocol::version, event_get_version());
    add_connection_stats(add, srv.stats, srv.settings);
    thread_stats sum;
    threadlocal_stats_aggregate(srv, sum);
    sum.commands.add_stats(add);
    const traffic_counts traffic{.bytes_read = sum.bytes_read.value(),
                                 .bytes_written = sum.bytes_written.value(),
                                 .conn_yields = sum.conn_yields.value()};
    add_traffic_stats(add, traffic, srv.stats, srv.settings);
    srv.store.add_general_stats(add);
  } else {
    return false;
  }
  return true;
}

void clock_handler(evutil_socket_t, short, void* arg) noexcept {
  server& srv = *static_cast<server*>(arg);
  if (srv.trace.timer("clock")) srv.store.set_time(srv.clock.time());
}

void refuse_client(server& srv, net::unique_fd client) noexcept {
  constexpr std::string_view text = "ERROR Too many open connections\r\n";
  (void)!write(client.get(), text.data(), text.size());  // the buffer of a new socket is empty: this cannot block
  // To close with input unread is to reset, and many a client looks for an error before it reads. What comes only after
  // the close is answered by a reset all the same: there is no descriptor to wait for it with.
  std::array<char, data_buffer_size> request;
  (void)!read(client.get(), request.data(), request.size());
  srv.stats.rejected_conns.add();
}

namespace {

void look_again(server& srv) noexcept {
  constexpr timeval ten_milliseconds{0, 10'000};
  if (evtimer_add(&srv.maxconnsevent, &ten_milliseconds) == -1) srv.trace.problem(-1, "cannot start the timer");
}

}  // namespace

void allow_new_conns(server& srv, bool allowed) noexcept {
  const std::scoped_lock hold(srv.conn_lock);
  srv.allow_new_conns = allowed;
}

void accept_new_conns(server& srv, bool do_accept) noexcept {
  assert_in_thread(srv.dispatcher_thread);
  do_accept_new_conns(srv, do_accept);
}

void do_accept_new_conns(server& srv, bool do_accept) noexcept {
  for (conn* const listener : srv.listen_conn) {
    // Muting the event alone would leave the kernel finishing handshakes for clients whom nobody will accept. A backlog
    // of 0 does not refuse them: on Linux one more connects, and the rest repeat their SYN until there is room again.
    const short events = do_accept ? EV_READ | EV_PERSIST : 0;
    if (!update_event(*listener, events)) srv.trace.problem(listener->sfd.get(), "couldn't update event");
    if (listen(listener->sfd.get(), do_accept ? srv.settings.backlog : 0) == -1) {
      srv.trace.problem(listener->sfd.get(), "listen()", errno);
    }
    if (do_accept) {
      srv.trace.heard_again(listener->sfd.get());
    } else {
      srv.trace.muted(listener->sfd.get());
    }
  }
  srv.stats.accepting_conns = do_accept;
  if (do_accept) {
    const auto muted = process_clock::monotonic::now() - srv.maxconns_entered;
    srv.stats.time_in_listen_disabled_us.add(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(muted).count()));
    return;
  }
  srv.stats.listen_disabled_num.add();
  srv.maxconns_entered = process_clock::monotonic::now();
  allow_new_conns(srv, false);
  // A connection may have been closed after accept4 failed and before the line above, and its "allow" is lost. If
  // nobody else ever closed one, we would stay deaf. So ask once more whether there is a descriptor. There is one, too,
  // if it is the machine that has run out, and not we: no close of ours need end that, so the next look will try again.
  if (const net::unique_fd spare(fcntl(srv.listen_conn.front()->sfd.get(), F_DUPFD_CLOEXEC, 0)); spare) {
    allow_new_conns(srv, true);
  }
  look_again(srv);
}

// Polled rather than woken: to wake the listener from the thread that closed a connection would mean to touch the
// master's event base from two threads. That was tried, and crashed, until 2011. We pay up to 10 ms of waiting.
void maxconns_handler(evutil_socket_t, short, void* arg) noexcept {
  server& srv = *static_cast<server*>(arg);
  if (!srv.trace.timer("maxconns")) return look_again(srv);
  bool somebody_left;
  {
    const std::scoped_lock hold(srv.conn_lock);
    somebody_left = srv.allow_new_conns;
  }
  if (somebody_left) {
    accept_new_conns(srv, true);
  } else {
    look_again(srv);
  }
}

void signal_handler(evutil_socket_t signal, short, void* arg) noexcept {
  server& srv = *static_cast<server*>(arg);
  if (signal == SIGUSR1 && !srv.paused) {
    pause_threads(srv);
    srv.paused = true;
  } else if (signal == SIGUSR2 && srv.paused) {
    resume_threads(srv);
    srv.paused = false;
  } else if (signal != SIGUSR1 && signal != SIGUSR2) {
    event_base_loopbreak(srv.dispatcher_thread.base.get());
  }
}
