// Hears of the signals that end a server, though somebody else acts on them.
#pragma once

#include "common/net/unique_fd.h"

// A thread that is held, or waits for one that is, does not look at its signals. Whoever holds it has to, and must not
// take them away: SIGHUP, SIGINT, SIGQUIT and SIGTERM go to the handler that the server has installed, or wait in the
// kernel for whoever reads them, as they would without this.
//
// Thread: one of these in a process; stand_in_front() from any thread, one at a time.
class ending_signals {
 public:
  // `wake`: an eventfd, written to when a handler has run. Throws std::system_error.
  explicit ending_signals(int wake);
  ~ending_signals();
  ending_signals(const ending_signals&) = delete;
  ending_signals& operator=(const ending_signals&) = delete;

  // From now on hears of what the handlers hear, those of this moment. Signals without a handler are left alone: what
  // is ignored stays ignored, and what kills kills.
  void stand_in_front() noexcept;

  // Readable while one waits in the kernel, blocked in all threads.
  [[nodiscard]] int waiting() const noexcept { return waiting_.get(); }

  // Whether a handler has run.
  [[nodiscard]] bool has_come() const noexcept;

 private:
  net::unique_fd waiting_;
};
