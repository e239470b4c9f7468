// The time by which a server lives.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

#include "common/basics/stoppable_clock.h"

// Asks the wall clock once, when it is made, and from then on counts the seconds that pass. So whoever sets the
// system's clock makes no value die early or live too long, as in memcached. Its time then differs from the wall's by
// as much as the wall's was set.
// Thread: any.
class process_clock {
 public:
  using monotonic = stoppable_clock;

  process_clock() noexcept : process_clock(std::time(nullptr), monotonic::now()) {}
  process_clock(std::int64_t unix_seconds, monotonic::time_point at) noexcept : wall_(unix_seconds), at_(at) {}

  // Whole seconds since the clock was made.
  [[nodiscard]] std::int64_t uptime(monotonic::time_point now = monotonic::now()) const noexcept {
    return std::chrono::duration_cast<std::chrono::seconds>(now - at_).count();
  }

  // Seconds since 1970. A server asks once a second, by a timer, and hands the answer round: see
  // storage::store::set_time.
  [[nodiscard]] std::int64_t time(monotonic::time_point now = monotonic::now()) const noexcept {
    return wall_ + uptime(now);
  }

 private:
  std::int64_t wall_;
  monotonic::time_point at_;
};
