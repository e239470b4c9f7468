// The workers: each has a thread, an event base, and a way in for the master: a queue and a pipe.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <atomic>
#include <cassert>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "common/net/unique_fd.h"
#include "common/protocol/text.h"
#include "common/settings/settings.h"
#include "conn.h"

struct event_base_deleter {
  void operator()(event_base* base) const noexcept { event_base_free(base); }
};

// A client on its way from the master to a worker, with all that conn_new needs to know. memcached's CQ_ITEM.
// Owns: the descriptor, until a connection takes it.
struct conn_queue_item {
  net::unique_fd sfd;
  conn_states init_state;
  short event_flags;
  std::size_t read_buffer_size;
  network_transport transport;
  std::unique_ptr<conn_queue_item> next;
};

// Thread: `lock` guards head and tail. In a queue the master pushes and a worker pops; the free list is everybody's.
// Owns: the items in it.
struct conn_queue {
  ~conn_queue() {
    while (head) head = std::move(head->next);  // one by one: each owns the next, and a million would nest too deep
  }

  std::mutex lock;
  std::unique_ptr<conn_queue_item> head;
  conn_queue_item* tail = nullptr;
  std::atomic<std::size_t> length = 0;  // a moment ago: for the trace
};

void cq_push(conn_queue& queue, std::unique_ptr<conn_queue_item> item) noexcept;

// The oldest item; nullptr if there is none.
[[nodiscard]] std::unique_ptr<conn_queue_item> cq_pop(conn_queue& queue) noexcept;

// Items are used again: a busy master would allocate in one thread what a worker frees in another. The first throws
// std::bad_alloc.
[[nodiscard]] std::unique_ptr<conn_queue_item> cqi_new(conn_queue& freelist);
void cqi_free(conn_queue& freelist, std::unique_ptr<conn_queue_item> item) noexcept;

// Where the master waits for its workers: until all have started, or until all have stopped to rest.
// Thread: all; init_lock guards the counts, and worker_hang_lock is what a paused worker waits for.
struct thread_registration {
  std::mutex init_lock;
  std::condition_variable init_cond;
  int init_count = 0;  // have registered
  int resting = 0;     // have registered, and not gone on yet
  std::mutex worker_hang_lock;
};

// What one thread counts. Thread: its own writes, any may read; so no two threads ever write to one number.
struct thread_stats {
  protocol::command_stats commands;
  own_counter bytes_read;
  own_counter bytes_written;
  own_counter conn_yields;
};

// Thread: its own, from worker_libevent on; before that the master's. The exceptions are new_conn_queue and
// notify_send_fd, through which the master speaks to it, and `stats`, which anyone may read.
// Owns: its base. The connections on it belong to the server (conns), by descriptor.
struct libevent_thread {
  libevent_thread(server& srv, int number);
  ~libevent_thread();
  libevent_thread(const libevent_thread&) = delete;
  libevent_thread& operator=(const libevent_thread&) = delete;

  server& srv;
  const int number;  // worker 1, 2 …; 0: the master
  std::unique_ptr<event_base, event_base_deleter> base;
  std::thread::id thread_id = std::this_thread::get_id();  // who serves it: its maker, until worker_libevent

  net::unique_fd notify_receive_fd;
  net::unique_fd notify_send_fd;
  struct event notify_event;
  conn_queue new_conn_queue;

  thread_stats stats;
  protocol::environment env;  // what commands on this thread may reach
  protocol::outcome outcome;  // what the last one asked for

  std::jthread thread;  // declared last: it has ended before anything that it uses is gone
};

// How many locks the hash table is divided among, as a power of two: more threads, more locks. Throws usage_error when
// there would be as many locks as buckets.
[[nodiscard]] unsigned item_lock_power(const settings& opts);

// The sum of what all threads have counted.
void threadlocal_stats_aggregate(const server& srv, thread_stats& sum);
void threadlocal_stats_reset(server& srv);

// Thread: that of `owner`, or a build that asserts (README, "A build that asserts") stops here.
inline void assert_in_thread([[maybe_unused]] const libevent_thread& owner) noexcept {
  assert(std::this_thread::get_id() == owner.thread_id);
}

// Gives the worker its pipe, and the event that listens to it. Throws std::system_error.
void setup_thread(libevent_thread& me);

// Starts the worker.
void create_worker(libevent_thread& me);

// What the worker's thread does: says that it is there, and serves its event base until it is asked to stop.
void worker_libevent(std::stop_token stop, libevent_thread& me);

// libevent calls this when the master has written to the pipe; `arg` is the worker.
void thread_libevent_process(evutil_socket_t fd, short which, void* arg) noexcept;

// Thread: a worker. Says "here I am", and rests as long as the workers are paused.
void register_thread_initialized(libevent_thread& me);

// Thread: the master. Returns when `nthreads` workers have registered.
void wait_for_thread_registration(thread_registration& registration, int nthreads);

// Thread: the master. Returns when every worker rests between two events; none of them touches anything until resumed.
void pause_threads(server& srv);
void resume_threads(server& srv);

// Makes the workers, and returns when all of them have registered.
void memcached_thread_init(server& srv, int nthreads);

// Thread: the master. Hands a client to the next worker, round robin.
void dispatch_conn_new(server& srv, net::unique_fd fd, conn_states init_state, short event_flags,
                       std::size_t read_buffer_size, network_transport transport) noexcept;
