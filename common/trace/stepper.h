// The server, step by step: at each event the thread that comes to it says what it is, and waits for Return.
#pragma once

#include <atomic>
#include <mutex>

#include "common/net/unique_fd.h"
#include "common/trace/ending_signals.h"
#include "common/trace/tracer.h"

// Speaks to the terminal, not to stdin and stderr, which may be files. One thread waits at a time; whoever comes to an
// event meanwhile waits for its turn. While somebody waits the process's clock stands still, and timers do nothing;
// timers themselves are not stopped at. All go on, once and for ever, when the reader says so (c), when the terminal
// ends, at a signal that ends the server, and at let_go().
//
// Thread: any, at once. Owns: the terminal's descriptor.
class stepper : public trace_sink {
 public:
  // Throws std::system_error ("open /dev/tty: No such device or address") where there is no terminal.
  stepper();

  void hear(const trace_event& e) noexcept override;
  [[nodiscard]] bool hear_timer(const trace_event&) noexcept override { return !somebody_waits_; }
  void let_go() noexcept override;

 private:
  void wait_for_return(const trace_event& e) noexcept;

  net::unique_fd terminal_;
  net::unique_fd wake_;  // an eventfd: a signal has come, or it is over
  ending_signals signals_;
  std::mutex turn_;
  std::atomic<bool> somebody_waits_ = false;
  std::atomic<bool> is_over_ = false;
};
