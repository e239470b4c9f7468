// From the master to the workers. The master accepts; a worker keeps the client for the rest of its life.
//
//     accept_conn -> dispatch_conn_new -> queue, then one byte in the pipe -> thread_libevent_process -> conn_new
//
#include "thread.h"

#include <fcntl.h>
#include <poll.h>
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

void cq_push(conn_queue& queue, std::unique_ptr<conn_queue_item> item) noexcept {
  const std::scoped_lock hold(queue.lock);
  conn_queue_item* const last = item.get();
  if (queue.head) {
    queue.tail->next = std::move(item);
  } else {
    queue.head = std::move(item);
  }
  queue.tail = last;
  ++queue.length;
}

std::unique_ptr<conn_queue_item> cq_pop(conn_queue& queue) noexcept {
  const std::scoped_lock hold(queue.lock);
  std::unique_ptr<conn_queue_item> item = std::move(queue.head);
  if (!item) return nullptr;
  queue.head = std::move(item->next);
  --queue.length;
  return item;
}

std::unique_ptr<conn_queue_item> cqi_new(conn_queue& freelist) {
  if (std::unique_ptr<conn_queue_item> item = cq_pop(freelist)) return item;
  return std::make_unique<conn_queue_item>();
}

void cqi_free(conn_queue& freelist, std::unique_ptr<conn_queue_item> item) noexcept {
  cq_push(freelist, std::move(item));
}

libevent_thread::libevent_thread(server& s, int n)
    : srv(s),
      number(n),
      base(event_base_new()),
      env{srv.store,
          stats.commands,
          srv.settings.flush_enabled,
          [this](unsigned level) { srv.trace.set_verbosity(level); },
          [this](std::string_view group, const add_stat& add) { return process_stats(srv, group, add); },
          [this](protocol::command_stats& commands) {
            thread_stats sum;
            threadlocal_stats_aggregate(srv, sum);
            commands.add(sum.commands);
          },
          srv.prefixes} {
  if (!base) throw std::runtime_error("event_base_new: no event base");
}

libevent_thread::~libevent_thread() {
  if (notify_receive_fd) event_del(&notify_event);
}

unsigned item_lock_power(const settings& opts) {
  // 8,192 locks are the most: beyond five threads other things are in the way.
  const unsigned power = opts.num_threads < 3 ? 10 : opts.num_threads < 4 ? 11 : opts.num_threads < 5 ? 12 : 13;
  if (power >= opts.hashpower_init) {
    throw usage_error("-t " + std::to_string(opts.num_threads) + " wants 2^" + std::to_string(power) +
                      " item locks, which must be fewer than the 2^" + std::to_string(opts.hashpower_init) +
                      " buckets of the hash table: take fewer threads, or -o hashpower=" + std::to_string(power + 1));
  }
  return power;
}

void threadlocal_stats_aggregate(const server& srv, thread_stats& sum) {
  for (const auto& thread : srv.threads) {
    sum.commands.add(thread->stats.commands);
    sum.bytes_read.add(thread->stats.bytes_read.value());
    sum.bytes_written.add(thread->stats.bytes_written.value());
    sum.conn_yields.add(thread->stats.conn_yields.value());
  }
}

void threadlocal_stats_reset(server& srv) {
  for (const auto& thread : srv.threads) {
    thread->stats.commands.reset();
    thread->stats.bytes_read.reset();
    thread->stats.bytes_written.reset();
    thread->stats.conn_yields.reset();
  }
}

void setup_thread(libevent_thread& me) {
  std::array<int, 2> fds;
  // Neither end may block: not the worker's, which would hang if it were woken for nothing, and not the master's, which
  // has other clients to accept. The pipe may be full: then there are bytes enough in it to wake the worker.
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
  register_thread_initialized(me);
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
  switch (byte) {
    case 'c':
      // The queue is the truth and the byte a hint: a worker that wakes drains its queue. A client whose byte was lost
      // waits until the next byte comes, and no longer.
      while (std::unique_ptr<conn_queue_item> item = cq_pop(me.new_conn_queue)) {
        me.srv.trace.popped(item->sfd.get(), me.new_conn_queue.length);
        conn_new(me, std::move(item->sfd), item->init_state, item->event_flags, item->read_buffer_size,
                 item->transport);
        cqi_free(me.srv.cqi_freelist, std::move(item));
      }
      break;
    case 'p': register_thread_initialized(me); break;
  }
}

void register_thread_initialized(libevent_thread& me) {
  thread_registration& registration = me.srv.registration;
  {
    const std::scoped_lock hold(registration.init_lock);
    ++registration.init_count;
    ++registration.resting;
  }
  registration.init_cond.notify_one();
  me.srv.trace.registered(me.notify_receive_fd.get());
  { const std::scoped_lock rest(registration.worker_hang_lock); }  // paused: until resume_threads unlocks it
  const std::scoped_lock hold(registration.init_lock);
  --registration.resting;
  registration.init_cond.notify_one();
}

void wait_for_thread_registration(thread_registration& registration, int nthreads) {
  std::unique_lock hold(registration.init_lock);
  registration.init_cond.wait(hold, [&] { return registration.init_count == nthreads; });
}

namespace {

// 'p' is no hint: the master will wait for the answer. If the pipe is full of hints, the worker is about to read one.
// False: the worker cannot be told.
bool tell_to_pause(const libevent_thread& thread) noexcept {
  pollfd room{thread.notify_send_fd.get(), POLLOUT, 0};
  while (write(room.fd, "p", 1) != 1) {
    if (errno != EAGAIN) return false;
    poll(&room, 1, -1);
  }
  thread.srv.trace.byte_written(room.fd, 'p');
  return true;
}

}  // namespace

void pause_threads(server& srv) {
  thread_registration& registration = srv.registration;
  {
    // A worker that still rests from the last time would find the door closed again, and never see its next 'p'.
    std::unique_lock hold(registration.init_lock);
    registration.init_cond.wait(hold, [&] { return registration.resting == 0; });
    registration.init_count = 0;
  }
  registration.worker_hang_lock.lock();
  int told = 0;
  for (const auto& thread : srv.threads) {
    if (tell_to_pause(*thread)) {
      ++told;
    } else {
      srv.trace.problem(thread->notify_send_fd.get(), "cannot pause a worker", errno);
    }
  }
  wait_for_thread_registration(registration, told);
}

void resume_threads(server& srv) { srv.registration.worker_hang_lock.unlock(); }

void memcached_thread_init(server& srv, int nthreads) {
  tracer::name_this_thread("master");
  for (int i = 0; i < nthreads; ++i) {
    setup_thread(*srv.threads.emplace_back(std::make_unique<libevent_thread>(srv, i + 1)));
    srv.stats.reserved_fds.add(5);  // three for the event base, two for the pipe
  }
  for (const auto& thread : srv.threads) create_worker(*thread);
  wait_for_thread_registration(srv.registration, nthreads);
}

void dispatch_conn_new(server& srv, net::unique_fd fd, conn_states init_state, short event_flags,
                       std::size_t read_buffer_size, network_transport transport) noexcept try {
  assert_in_thread(srv.dispatcher_thread);
  const int sfd = fd.get();
  std::unique_ptr<conn_queue_item> item = cqi_new(srv.cqi_freelist);
  const int tid = (srv.last_thread + 1) % srv.settings.num_threads;
  srv.last_thread = tid;
  libevent_thread& thread = *srv.threads[static_cast<std::size_t>(tid)];
  srv.trace.dispatched(sfd, thread.number);
  item->sfd = std::move(fd);
  item->init_state = init_state;
  item->event_flags = event_flags;
  item->read_buffer_size = read_buffer_size;
  item->transport = transport;
  // Push, then write one byte. The order is the protocol: a worker that sees the byte must find the item.
  cq_push(thread.new_conn_queue, std::move(item));
  srv.trace.pushed(sfd, thread.new_conn_queue.length);
  if (write(thread.notify_send_fd.get(), "c", 1) == 1) {
    srv.trace.byte_written(thread.notify_send_fd.get(), 'c');
  } else if (errno != EAGAIN) {  // full: the worker will wake all the same, and drain the queue
    srv.trace.problem(sfd, "writing to the notify pipe", errno);
  }
} catch (const std::bad_alloc&) {
  srv.trace.problem(fd.get(), "out of memory");  // cqi_new threw: fd has not been moved
}
