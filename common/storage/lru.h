// The items of one slab class in the order of their use, and what became of those that went.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/storage/item.h"
#include "common/storage/optional_mutex.h"

namespace storage {

// memcached's names, as in "stats items".
struct lru_counters {
  std::uint64_t evicted = 0;            // thrown out alive, to make room
  std::uint64_t evicted_nonzero = 0;    // of these, would have expired one day
  std::uint64_t evicted_unfetched = 0;  // of these, never read
  std::uint64_t evicted_time = 0;       // seconds since the last one evicted had been used
  std::uint64_t reclaimed = 0;          // found dead at the tail, its memory used again
  std::uint64_t expired_unfetched = 0;  // of these, never read
  std::uint64_t outofmemory = 0;
  std::uint64_t lrutail_reflocked = 0;  // in somebody's use when it was to be evicted
};

// Thread: all under `mutex`. Owns: nothing; the items are linked through their own `next` and `prev`.
struct lru {
  mutable optional_mutex mutex;
  item* newest = nullptr;
  item* oldest = nullptr;
  std::size_t size = 0;
  lru_counters counters;

  void push_newest(item& it) noexcept {
    it.prev = nullptr;
    it.next = newest;
    (newest != nullptr ? newest->prev : oldest) = &it;
    newest = &it;
    ++size;
  }

  void erase(item& it) noexcept {
    (it.prev != nullptr ? it.prev->next : newest) = it.next;
    (it.next != nullptr ? it.next->prev : oldest) = it.prev;
    it.next = it.prev = nullptr;
    --size;
  }

  void move_to_newest(item& it) noexcept {
    erase(it);
    push_newest(it);
  }

  // The memory of `it` is about to be used for another item. Under the lock of its hash slice, too.
  void count_departure(const item& it, bool dead, seconds now) noexcept {
    const bool unfetched = (it.it_flags & item_fetched) == 0;
    if (dead) {
      ++counters.reclaimed;
      if (unfetched) ++counters.expired_unfetched;
      return;
    }
    ++counters.evicted;
    if (unfetched) ++counters.evicted_unfetched;
    if (it.exptime != 0) ++counters.evicted_nonzero;
    counters.evicted_time = now - it.time;
  }
};

}  // namespace storage
