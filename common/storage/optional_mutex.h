// A mutex that costs a store of one thread nothing but a predictable branch.
#pragma once

#include <mutex>

namespace storage {

// Does nothing until it is turned on. Meets the standard's Lockable, so that std::scoped_lock works on it.
// Thread: any, once turn_on() was called; without it, one thread only.
class optional_mutex {
 public:
  // Before a second thread knows of the mutex, and never while it is locked.
  void turn_on() noexcept { on_ = true; }

  void lock() noexcept {
    if (on_) mutex_.lock();
  }
  [[nodiscard]] bool try_lock() noexcept { return !on_ || mutex_.try_lock(); }
  void unlock() noexcept {
    if (on_) mutex_.unlock();
  }

 private:
  std::mutex mutex_;
  bool on_ = false;
};

}  // namespace storage
