// From the master to the workers. The master accepts; a worker keeps the client for the rest of its life.
//
//     accept_conn -> dispatch_conn_new -> queue, then one byte in the pipe -> thread_libevent_process -> conn_new
//
#include "thread.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
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
  (queue.head ? queue.tail->next : queue.head) = std::move(item);
  queue.tail = last;
}

std::unique_ptr<conn_queue_item> cq_pop(conn_queue& queue) noexcept {
  const std::scoped_lock hold(queue.lock);
  std::unique_ptr<conn_queue_item> item = std::move(queue.head);
  if (item) queue.head = std::move(item->next);
  return item;
}

std::unique_ptr<conn_queue_item> cqi_new(conn_queue& freelist) {
  if (std::unique_ptr<conn_queue_item> item = cq_pop(freelist)) return item;
  return std::make_unique<conn_queue_item>();
}

void cqi_free(conn_queue& freelist, std::unique_ptr<conn_queue_item> item) noexcept {
  cq_push(freelist, std::move(item));
}

libevent_thread::libevent_thread(server& s)
    : srv(s),
      base(event_base_new()),
      env{srv.store,
          stats.commands,
          srv.settings.flush_enabled,
          [this](unsigned level) { srv.trace.set_verbosity(level); },
          [this](std::string_view group, const storage::add_stat& add) { return process_stats(srv, group, add); },
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
  // Neither end may block: not the worker's, which would hang if it were woken for nothing, and not the master's. The
  // pipe holds 65,536 bytes, and each stands for a client with a descriptor: up to that -c, accept fails before it is
  // full.
  if (pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC) == -1) {
    throw std::system_error(errno, std::generic_category(), "cannot create the notify pipe");
  }
  me.notify_receive_fd.reset(fds[0]);
  me.notify_send_fd.reset(fds[1]);
  event_assign(&me.notify_event, me.base.get(), fds[0], EV_READ | EV_PERSIST, thread_libevent_process, &me);
  if (event_add(&me.notify_event, nullptr) == -1) throw std::runtime_error("cannot monitor the notify pipe");
}

void create_worker(libevent_thread& me) {
  // A new thread inherits the mask, and so no worker ever catches a signal: two threads might catch two of them, and
  // the master would hear of them in the wrong order.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  me.thread = std::jthread([&me](std::stop_token stop) { worker_libevent(std::move(stop), me); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void worker_libevent(std::stop_token stop, libevent_thread& me) {
  const std::stop_callback wake(stop, [&me] { (void)!write(me.notify_send_fd.get(), "s", 1); });
  register_thread_initialized(me.srv.registration);
  event_base_loop(me.base.get(), 0);
}

void thread_libevent_process(evutil_socket_t fd, short, void* arg) noexcept {
  libevent_thread& me = *static_cast<libevent_thread*>(arg);
  char byte;
  if (read(fd, &byte, 1) != 1) {
    me.srv.trace.problem(fd, "can't read from the notify pipe", errno);
    return;  // there is no byte to act on
  }
  switch (byte) {
    case 'c':
      if (std::unique_ptr<conn_queue_item> item = cq_pop(me.new_conn_queue)) {
        conn_new(me, std::move(item->sfd), item->init_state, item->event_flags, item->read_buffer_size,
                 item->transport);
        cqi_free(me.srv.cqi_freelist, std::move(item));
      }
      break;
    case 'p': register_thread_initialized(me.srv.registration); break;
    case 's': event_base_loopbreak(me.base.get()); break;
  }
}

void register_thread_initialized(thread_registration& registration) {
  {
    const std::scoped_lock hold(registration.init_lock);
    ++registration.init_count;
    ++registration.resting;
  }
  registration.init_cond.notify_one();
  { const std::scoped_lock rest(registration.worker_hang_lock); }
  const std::scoped_lock hold(registration.init_lock);
  --registration.resting;
  registration.init_cond.notify_one();
}

void wait_for_thread_registration(thread_registration& registration, int nthreads) {
  std::unique_lock hold(registration.init_lock);
  registration.init_cond.wait(hold, [&] { return registration.init_count == nthreads; });
}

void pause_threads(server& srv) {
  thread_registration& registration = srv.registration;
  {
    // A worker that still rests from the last time would find the door closed again, and never see its next 'p'.
    std::unique_lock hold(registration.init_lock);
    registration.init_cond.wait(hold, [&] { return registration.resting == 0; });
    registration.init_count = 0;
  }
  registration.worker_hang_lock.lock();
  for (const auto& thread : srv.threads) (void)!write(thread->notify_send_fd.get(), "p", 1);
  wait_for_thread_registration(registration, static_cast<int>(srv.threads.size()));
}

void resume_threads(server& srv) { srv.registration.worker_hang_lock.unlock(); }

void memcached_thread_init(server& srv, int nthreads) {
  for (int i = 0; i < nthreads; ++i) {
    setup_thread(*srv.threads.emplace_back(std::make_unique<libevent_thread>(srv)));
    srv.stats.reserved_fds.add(5);  // three for the event base, two for the pipe
  }
  for (const auto& thread : srv.threads) create_worker(*thread);
  wait_for_thread_registration(srv.registration, nthreads);
}

// Where they share a core, the kernel lets a thread that wakes up interrupt the one that runs. The master wakes up for
// every client: it would stop a worker that serves one to let in the next. A batch thread waits until the core is free.
void let_workers_go_first() noexcept {
  constexpr sched_param no_priority{};
  (void)sched_setscheduler(0, SCHED_BATCH, &no_priority);  // where that is refused, nothing changes
}

void dispatch_conn_new(server& srv, net::unique_fd fd, conn_states init_state, short event_flags,
                       std::size_t read_buffer_size, network_transport transport) noexcept try {
  const int sfd = fd.get();
  std::unique_ptr<conn_queue_item> item = cqi_new(srv.cqi_freelist);
  const int tid = (srv.last_thread + 1) % srv.settings.num_threads;
  srv.last_thread = tid;
  libevent_thread& thread = *srv.threads[static_cast<std::size_t>(tid)];
  item->sfd = std::move(fd);
  item->init_state = init_state;
  item->event_flags = event_flags;
  item->read_buffer_size = read_buffer_size;
  item->transport = transport;
  // Push, then write one byte. The order is the protocol: a worker that sees the byte must find the item.
  cq_push(thread.new_conn_queue, std::move(item));
  if (write(thread.notify_send_fd.get(), "c", 1) != 1) srv.trace.problem(sfd, "writing to the notify pipe", errno);
} catch (const std::bad_alloc&) {
  srv.trace.problem(fd.get(), "out of memory");  // cqi_new threw: fd has not been moved
}
