// Statistics by key prefix, "stats detail": the prefix is what stands before the first ':' of a key.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <string_view>

#include "common/storage/printable.h"

namespace protocol {

// Off until a client asks for it. Keys without a ':' are not counted.
// Thread: any. While it is off nothing is locked: record_*() are to be called only when on() says so.
class prefix_stats {
 public:
  // Prefixes beyond these are not counted. Without such a bound, which 1.4.25 lacks, any client could fill the memory.
  static constexpr std::size_t most = 1000;

  [[nodiscard]] bool on() const noexcept { return on_.load(std::memory_order_relaxed); }
  void turn(bool on) noexcept { on_.store(on, std::memory_order_relaxed); }

  void record_get(std::string_view key, bool hit) noexcept { record(key, {.get = 1, .hit = hit ? 1u : 0u}); }
  void record_set(std::string_view key) noexcept { record(key, {.set = 1}); }
  void record_delete(std::string_view key) noexcept { record(key, {.del = 1}); }

  void clear() noexcept {
    const std::lock_guard lock(mutex_);
    prefixes_.clear();
  }

  // A line "PREFIX <prefix> get <n> hit <n> set <n> del <n>" each, then END. Throws std::bad_alloc.
  [[nodiscard]] std::string dump() const {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const auto& [prefix, n] : prefixes_) {
      text += "PREFIX " + storage::printable_word(prefix) + " get " + std::to_string(n.get) + " hit " +
              std::to_string(n.hit) + " set " + std::to_string(n.set) + " del " + std::to_string(n.del) + "\r\n";
    }
    return text += "END\r\n";
  }

 private:
  struct counts {
    std::uint64_t get = 0;
    std::uint64_t hit = 0;
    std::uint64_t set = 0;
    std::uint64_t del = 0;
  };

  void record(std::string_view key, const counts& more) noexcept {
    const auto colon = key.find(':');
    if (colon == std::string_view::npos) return;
    const std::lock_guard lock(mutex_);
    if (counts* n = find_or_add(key.substr(0, colon))) {
      n->get += more.get;
      n->hit += more.hit;
      n->set += more.set;
      n->del += more.del;
    }
  }

  // nullptr: no room for another prefix.
  counts* find_or_add(std::string_view prefix) noexcept try {
    if (const auto found = prefixes_.find(prefix); found != prefixes_.end()) return &found->second;
    if (prefixes_.size() == most) return nullptr;
    return &prefixes_.emplace(prefix, counts{}).first->second;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }

  std::atomic<bool> on_{false};
  mutable std::mutex mutex_;
  std::map<std::string, counts, std::less<>> prefixes_;  // under mutex_
};

}  // namespace protocol
