// The workers: each has a thread, an event base, and a way in for the master: a queue and a pipe.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <atomic>
#include <cassert>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/protocol/text.h"
#include "conn.h"

struct event_base_deleter {
  void operator()(event_base* base) const noexcept { event_base_free(base); }
};

// Clients on their way from the master to one worker.
// Thread: the master pushes, the worker pops; the mutex is theirs.
class conn_queue {
 public:
  void push(net::unique_fd client);
  [[nodiscard]] std::optional<net::unique_fd> pop();

  // How many there were a moment ago: for the trace.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::mutex lock_;
  std::queue<net::unique_fd> queue_;
  std::atomic<std::size_t> size_ = 0;
};

// Thread: its own, from worker_libevent on; before that the master's. The exceptions are new_conn_queue and
// notify_send_fd, through which the master speaks to it, and `commands`, which anyone may read.
// Owns: its base and its connections, which die before it.
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

  protocol::command_stats commands;
  protocol::environment env;  // what commands on this thread may reach
  protocol::outcome outcome;  // what the last one asked for

  std::unordered_map<int, std::unique_ptr<conn>> conns;  // by descriptor
  std::vector<std::unique_ptr<conn>> freeconns;          // closed, to be used again; the last one first

  std::jthread thread;  // declared last: it has ended before anything that it uses is gone
};

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

// Makes the workers, and returns when all of them have registered.
void memcached_thread_init(server& srv, int nthreads);

// Thread: the master. Hands a client to the next worker, round robin.
void dispatch_conn_new(server& srv, net::unique_fd client) noexcept;
