// A steady clock that can stand still.
#pragma once

#include <atomic>
#include <chrono>

// The steady clock of this process. It stands still while a listener of the trace holds one of its threads
// (common/trace/holding.h), and goes on from there once nobody is held.
// Thread: any; stop() and go_on() in turn, one at a time.
class stoppable_clock {
 public:
  using steady = std::chrono::steady_clock;
  using duration = steady::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<stoppable_clock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept {
    // Asked again if the clock was stopped, or went on, meanwhile: else a time could be earlier than the one before it.
    for (;;) {
      const rep before = state_.load();
      const rep real = steady::now().time_since_epoch().count();
      if (state_.load() == before) return time_point(duration(before > 0 ? before : real + before));
    }
  }

  static void stop() noexcept { state_ = now().time_since_epoch().count(); }
  static void go_on() noexcept { state_ = state_.load() - steady::now().time_since_epoch().count(); }

 private:
  // Above 0: it stands still, and this is its time. Else it goes, and is that much behind the steady clock.
  static inline std::atomic<rep> state_ = 0;
};
