// The wall clock in the unit that expiry times are in.
#pragma once

#include <chrono>
#include <cstdint>

// Seconds since 1970. A server asks once a second, by a timer, and hands the answer round: see
// storage::store::set_time.
[[nodiscard]] inline std::int64_t unix_seconds_now() noexcept {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}
