// Setting up: the sockets, the event base, and a connection in conn_listening for each socket.
#include "server.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
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
    } else if (conn_new(srv.dispatcher_thread, std::move(socket.fd), conn_listening, EV_READ | EV_PERSIST, 1,
                        socket.transport) == nullptr) {
      throw std::runtime_error("cannot listen for events on the listening socket");
    }
  }
  if (const char* path = std::getenv("MEMCACHED_PORT_FILENAME")) net::write_port_file(path, descriptors);
}

bool process_stats(server& srv, std::string_view group, const add_stat& add) {
  if (group == "settings") {
    add_settings_stats(add, srv.settings, srv.trace.verbosity(), srv.prefixes->on());
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
