// Threads held on order: a socket through which a program of the reader's says where, and when they go on.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/trace/ending_signals.h"
#include "common/trace/holding.h"
#include "common/trace/tracer.h"

// Listens on a unix socket that only its owner may open, one client at a time; the next one waits until it has gone.
// A request is a line, its parts divided by tabs, and is answered by a line that begins with "ok", "held", "missed" or
// "error"; they are answered in order:
//
//     hold THREAD KIND SFD COUNT TEXT   ok NUMBER                                    a rule (holding.h); "": any
//     wait NUMBER MILLISECONDS          held NUMBER THREAD KIND SFD VALUE LINE       or missed: nobody has come there
//     step NUMBER                       ok                                           on to that thread's next event
//     release NUMBER                    ok                                           or release, without one: all
//     where                             ok LINES, and so many lines                  what is held where, who waits
//
// All threads go on, and no rule is left, when the client goes. The same happens, once and for ever, when the server
// ends: at let_go(), at a signal that ends it (ending_signals), and at the end of the conductor.
//
// Thread: one of its own serves the client, and hears no signals. Owns: the socket, and its file.
class conductor : public trace_sink {
 public:
  // Throws std::system_error ("bind unix:/tmp/x: Address already in use").
  explicit conductor(std::string path);
  ~conductor() override;

  void hear(const trace_event& e) noexcept override { holding_.hear(e); }
  [[nodiscard]] bool hear_timer(const trace_event& e) noexcept override { return holding_.hear_timer(e); }
  void let_go() noexcept override { holding_.let_go(); }

 private:
  using clock = std::chrono::steady_clock;
  struct pending_wait {
    unsigned number;
    clock::time_point until;
  };

  void serve();
  [[nodiscard]] int milliseconds_left() const noexcept;
  void accept_client();
  void hang_up();
  void read_requests();
  void answer_requests();
  bool answer_wait();
  [[nodiscard]] std::string answer_to(std::string_view request);
  [[nodiscard]] std::string answer_hold(const std::vector<std::string>& words);
  void say(std::string line);

  const std::string path_;
  net::unique_fd wake_;  // an eventfd: somebody has been caught, a signal has come, or it is time to stop
  net::unique_fd listener_;
  ending_signals signals_;
  holding holding_;

  // The thread's own.
  net::unique_fd client_;
  std::string unread_;
  std::optional<pending_wait> waiting_;
  bool server_ends_ = false;

  std::atomic<bool> stop_ = false;
  std::thread thread_;
};
