// From the master to the workers. The master accepts; a worker keeps the client for the rest of its life.
//
//     accept_conn -> dispatch_conn_new -> queue, then one byte in the pipe -> thread_libevent_process -> conn_new
//
#include "thread.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "server.h"

void conn_queue::push(net::unique_fd client) {
  const std::scoped_lock hold(lock_);
  queue_.push(std::move(client));
  size_ = queue_.size();
}

std::optional<net::unique_fd> conn_queue::pop() {
  const std::scoped_lock hold(lock_);
  if (queue_.empty()) return std::nullopt;
  net::unique_fd client = std::move(queue_.front());
  queue_.pop();
  size_ = queue_.size();
  return client;
}

libevent_thread::libevent_thread(server& s, int n)
    : srv(s),
      number(n),
      base(event_base_new()),
      env{srv.store,
          commands,
          srv.settings.flush_enabled,
          [this](unsigned level) { srv.trace.set_verbosity(level); },
          [this](std::string_view group, const add_stat& add) { return process_stats(srv, group, add); },
          [this](protocol::command_stats& sum) { sum_commands(srv, sum); },
          srv.prefixes} {
  if (!base) throw std::runtime_error("event_base_new: no event base");
}

libevent_thread::~libevent_thread() {
  if (notify_receive_fd) event_del(&notify_event);
}

void setup_thread(libevent_thread& me) {
  std::array<int, 2> fds;
  // Neither end may block: not the worker's, which would hang if it were woken for nothing, and not the master's, which
  // has other clients to accept. If the pipe is full (at 65,536 bytes, or fewer for a user of many) the byte is lost.
  if (pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC) == -1) {
    throw std::system_error(errno, std::generic_category(), "cannot create the notify pipe");
  }
  me.notify_receive_fd.reset(fds[0]);
  me.notify_send_fd.reset(fds[1]);
  event_assign(&me.notify_event, me.base.get(), fds[0], EV_READ | EV_PERSIST, thread_libevent_process, &me);
  if (event_add(&me.notify_event, nullptr) == -1) throw std::runtime_error("cannot monitor the notify pipe");
}

void create_worker(libevent_thread& me) {
  me.thread = std::jthread([&me](std::stop_token stop) { worker_libevent(std::move(stop), me); });
}

void worker_libevent(std::stop_token stop, libevent_thread& me) {
  me.thread_id = std::this_thread::get_id();
  tracer::name_this_thread("worker " + std::to_string(me.number));
  // To ask it to stop is to close the master's end of the pipe. A byte could be lost where the pipe is full; the end of
  // the stream cannot.
  const std::stop_callback wake(stop, [&me] { me.notify_send_fd.reset(); });
  me.srv.registered.count_down();
  event_base_loop(me.base.get(), 0);
}

void thread_libevent_process(evutil_socket_t fd, short, void* arg) noexcept {
  libevent_thread& me = *static_cast<libevent_thread*>(arg);
  char byte;
  const ssize_t res = read(fd, &byte, 1);
  if (res == 0) {  // the master has closed its end: stop
    event_base_loopbreak(me.base.get());
    return;
  }
  if (res != 1) {
    me.srv.trace.problem(fd, "can't read from the notify pipe", errno);
    return;  // there is no byte to act on
  }
  me.srv.trace.byte_read(fd, byte);
  // One byte, one client.
  if (std::optional<net::unique_fd> client = me.new_conn_queue.pop()) {
    me.srv.trace.popped(client->get(), me.new_conn_queue.size());
    conn_new(me, std::move(*client), conn_new_cmd, EV_READ | EV_PERSIST);
  }
}

void memcached_thread_init(server& srv, int nthreads) {
  tracer::name_this_thread("master");
  for (int i = 0; i < nthreads; ++i) {
    setup_thread(*srv.threads.emplace_back(std::make_unique<libevent_thread>(srv, i + 1)));
    srv.stats.reserved_fds.add(5);  // three for the event base, two for the pipe
  }
  for (const auto& thread : srv.threads) create_worker(*thread);
  srv.registered.wait();
}

void dispatch_conn_new(server& srv, net::unique_fd client) noexcept try {
  assert_in_thread(srv.dispatcher_thread);
  const int sfd = client.get();
  const int tid = (srv.last_thread + 1) % srv.settings.num_threads;
  srv.last_thread = tid;
  libevent_thread& thread = *srv.threads[static_cast<std::size_t>(tid)];
  srv.trace.dispatched(sfd, thread.number);
  // Push, then write one byte. The order is the protocol: a worker that sees the byte must find the client.
  thread.new_conn_queue.push(std::move(client));
  srv.trace.pushed(sfd, thread.new_conn_queue.size());
  if (write(thread.notify_send_fd.get(), "c", 1) == 1) {
    srv.trace.byte_written(thread.notify_send_fd.get(), 'c');
  } else {
    srv.trace.problem(sfd, "writing to the notify pipe", errno);
  }
} catch (const std::bad_alloc&) {
  srv.trace.problem(-1, "out of memory");  // push threw, and the client is closed
}
