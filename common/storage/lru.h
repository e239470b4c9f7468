// The items of one slab class in the order of their use, and what became of those that went.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/storage/item.h"

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

// Owns: nothing; the items are linked through their own `next` and `prev`.
struct item_list {
  item* newest = nullptr;
  item* oldest = nullptr;
  std::size_t size = 0;

  void push_newest(item& it) noexcept {
    it.prev = nullptr;
    it.next = newest;
    if (newest != nullptr) newest->prev = &it;
    if (oldest == nullptr) oldest = &it;
    newest = &it;
    ++size;
  }

  void erase(item& it) noexcept {
    if (it.prev != nullptr) it.prev->next = it.next;
    if (it.next != nullptr) it.next->prev = it.prev;
    if (newest == &it) newest = it.next;
    if (oldest == &it) oldest = it.prev;
    it.next = it.prev = nullptr;
    --size;
  }
};

// An item that somebody holds cannot go when its turn comes. It waits aside, so that whoever looks for memory meets it
// once at the tail, and not every time: clients slow to read their replies block nobody. As soon as nobody holds it,
// it is the first to go. (1.4.25 leaves it at the tail.)
//
// Thread: all under the lock of its class, slabs::mutex(). Moving an item takes the lock of its hash slice, too.
// Aligned, so that neighbours, which have different locks, do not share a cache line. Owns: nothing.
struct alignas(64) lru {
  item_list items;  // in the order of their use
  item_list aside;  // their turn had come, and somebody held them
  lru_counters counters;

  [[nodiscard]] std::size_t size() const noexcept { return items.size + aside.size; }

  void push_newest(item& it) noexcept { items.push_newest(it); }

  void erase(item& it) noexcept {
    item_list& list = (it.it_flags & item_aside) != 0 ? aside : items;
    list.erase(it);
    it.it_flags &= static_cast<std::uint8_t>(~item_aside);
  }

  void move_to_newest(item& it) noexcept {
    erase(it);
    items.push_newest(it);
  }

  // Behind all that wait already.
  void put_aside(item& it) noexcept {
    erase(it);
    it.it_flags |= item_aside;
    aside.push_newest(it);
  }

  // Each item, the newest first; stops when `see` returns false.
  template <typename function>
  void for_each(function see) const {
    for (const item_list* list : {&items, &aside}) {
      for (const item* it = list->newest; it != nullptr; it = it->next) {
        if (!see(*it)) return;
      }
    }
  }

  // The memory of `it` is about to be used for another item. Under the lock of its hash slice, too.
  void count_departure(const item& it, bool dead, unix_time now) noexcept {
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
