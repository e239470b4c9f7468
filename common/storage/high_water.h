// A number that only rises.
#pragma once

#include <atomic>

namespace storage {

// Starts at 0. Relaxed: it orders nothing but itself.
// Thread: any.
template <typename number>
class high_water {
 public:
  // Whoever comes late with a lower number changes nothing.
  void raise(number to) noexcept {
    number now = value();
    while (now < to && !value_.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] number value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<number> value_{0};
};

}  // namespace storage
