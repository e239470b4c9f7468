// The cache itself: a hash table over slab-allocated items with one LRU per slab class.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/basics/add_stat.h"
#include "common/storage/hash_table.h"
#include "common/storage/high_water.h"
#include "common/storage/item.h"
#include "common/storage/lru.h"
#include "common/storage/optional_mutex.h"
#include "common/storage/options.h"
#include "common/storage/slabs.h"

namespace storage {

enum class store_mode : std::uint8_t { set, add, replace, append, prepend, cas };

// out_of_memory and too_large can only come from append and prepend, which need a second item.
enum class store_result : std::uint8_t { stored, not_stored, exists, not_found, too_large, out_of_memory };

enum class alloc_error : std::uint8_t { none, too_large, out_of_memory };

enum class delta_result : std::uint8_t { ok, non_numeric, not_found, exists, out_of_memory };

// Locks, always taken in this order: a slice of the hash table, then a slab class (its LRU and its chunks), then the
// slabs' pages. Nobody holds two slices, or two classes. Whoever looks for memory holds no slice, starts from a class,
// and may only try a slice; if it is taken, the next item will do as well.
//
// Errors: nothing here throws once constructed, except where a function says so; a full cache is a result, not an
// exception. Thread: any, if made with locks; set_time() may be called by one thread while others work. Owns: all
// items. Every item_ref must be gone before the store is.
class store {
 public:
  // Throws std::invalid_argument when the options contradict each other, std::bad_alloc when memory is short. The time
  // is the system's until set_time() is called.
  explicit store(const options& opts);
  ~store();
  store(const store&) = delete;
  store& operator=(const store&) = delete;

  // The time by which everything expires, in seconds since 1970. Whoever owns the clock moves it.
  void set_time(std::int64_t unix_seconds) noexcept;
  [[nodiscard]] unix_time time() const noexcept { return now_.load(std::memory_order_relaxed); }

  // Converts an exptime from the wire: 0 never, negative at once, up to 30 days relative, beyond that absolute
  // (protocol.txt, "Expiration times").
  [[nodiscard]] unix_time expiry(std::int64_t exptime) const noexcept;

  // A live item and a reference to it, or an empty reference. Moves the item to the head of its LRU (at most once a
  // minute).
  [[nodiscard]] item_ref get(std::string_view key) noexcept;
  // The same, and gives it a new expiry, which expiry() made.
  [[nodiscard]] item_ref get_and_touch(std::string_view key, unix_time exptime) noexcept;

  // An item that nobody else can see yet, its value still unwritten; nbytes counts the value and its \r\n, so it is at
  // least 2. Reuses what is dead, takes free memory, or evicts if it must and may. Empty on failure; `why` says which.
  [[nodiscard]] item_ref allocate(std::string_view key, std::uint32_t flags, unix_time exptime, std::size_t nbytes,
                                  alloc_error& why) noexcept;

  // Makes an allocated and filled item visible under its key, as the mode allows; from then on the caller only reads
  // it. `cas` is compared where it is not 0 or the mode is cas (then a set, add or replace is a cas, as binary clients
  // mean it); on success it receives the new unique number, whatever item ends up stored. append and prepend keep the
  // flags and the expiry of the old item (protocol.txt, "Storage commands").
  [[nodiscard]] store_result put(const item_ref& it, store_mode mode, std::uint64_t& cas) noexcept;

  // Adds to or subtracts from a decimal value: incr wraps at 2^64, decr stops at 0 (protocol.txt,
  // "Increment/Decrement"). A value that grows shorter by decr keeps its length, padded with blanks on the right.
  // `cas` as in put(); `slab_class` is the item's unless the result is not_found.
  [[nodiscard]] delta_result add_delta(std::string_view key, bool incr, std::uint64_t delta, std::uint64_t& cas,
                                       std::uint64_t& result, unsigned& slab_class) noexcept;

  // Unlinks the item if its cas number is `cas` (0: any): stored (it is gone now), not_found or exists. A reference
  // somebody holds stays good. `slab_class` is the item's unless the result is not_found.
  [[nodiscard]] store_result remove(std::string_view key, std::uint64_t cas, unsigned& slab_class) noexcept;

  // Everything stored before `when` (seconds since 1970; 0: now) is gone from then on; what is stored next, even
  // within the same second, stays. A call replaces an earlier one whose time has not come. Lazy: costs nothing by
  // itself. With -C there are no numbers to tell "before" from "after" by, so what is stored in the same second goes
  // too, as in 1.4.25.
  void flush_all(unix_time when) noexcept;

  // The slab class for an item of this total size in bytes; 0: too large for any.
  [[nodiscard]] unsigned slab_class(std::size_t total_size) const noexcept { return slabs_.class_of(total_size); }
  [[nodiscard]] unsigned slab_classes() const noexcept { return slabs_.classes(); }  // classes are numbered 1 to this
  [[nodiscard]] std::size_t slab_chunk_size(unsigned slab_class) const noexcept {
    return slabs_.chunk_size(slab_class);
  }
  [[nodiscard]] unsigned hash_power() const noexcept;  // rounded down while only some slices have grown

  // memcached's lines, in its order (protocol.txt, "Statistics"). All may throw std::bad_alloc.
  void add_general_stats(const add_stat& add) const;  // hash_power_level … lrutail_reflocked
  void add_items_stats(const add_stat& add) const;    // "stats items"
  void add_sizes_stats(const add_stat& add) const;    // "stats sizes": holds up one class at a time
  // "stats slabs"; `per_class` adds the caller's lines of each class, after ours.
  void add_slabs_stats(const add_stat& add, const std::function<void(unsigned slab_class)>& per_class) const;
  // "stats cachedump": at most `limit` items (0: all) of a class, oldest last; never more than 2 MiB of text. Holds up
  // the class.
  [[nodiscard]] std::string cachedump(unsigned slab_class, std::size_t limit) const;
  void reset_stats() noexcept;

 private:
  // Thread: all under `mutex`. Aligned, so that the locks of neighbours do not share a cache line.
  struct alignas(64) slice {
    mutable optional_mutex mutex;
    hash_table table;
    std::uint64_t bytes = 0;
    std::uint64_t total_items = 0;
  };

  [[nodiscard]] slice& slice_of(std::uint64_t hash) noexcept;
  [[nodiscard]] item_ref reference(item& it) noexcept;
  [[nodiscard]] bool is_expired(const item& it) const noexcept;

  // Under the slice's lock.
  [[nodiscard]] bool is_dead(const item& it) const noexcept;
  [[nodiscard]] bool has_number(const item& it, std::uint64_t cas) const noexcept;
  [[nodiscard]] store_result verdict(const item* old, store_mode mode, std::uint64_t cas) const noexcept;
  [[nodiscard]] item* find_live(slice& s, std::string_view key, std::uint64_t hash) noexcept;
  void use(item& it) noexcept;
  // In the place of `old`, if that is not null.
  void link(slice& s, item* old, const item_ref& fresh, std::uint64_t hash) noexcept;
  void unlink(slice& s, item& it, std::uint64_t hash) noexcept;

  // Under the slice's lock and the class's.
  void drop(slice& s, item& it, std::uint64_t hash) noexcept;
  // Leaves the table's reference to the caller.
  void detach(slice& s, item& it, std::uint64_t hash) noexcept;

  // Without a lock.
  [[nodiscard]] std::uint64_t next_number() noexcept;
  [[nodiscard]] item_ref take_chunk(unsigned slab_class, std::size_t size) noexcept;
  [[nodiscard]] store_result join(const item_ref& piece, store_mode mode, std::uint64_t& cas) noexcept;
  [[nodiscard]] bool replace_same(const item_ref& old, const item_ref& fresh, std::uint64_t hash) noexcept;
  void flush_now() noexcept;

  // Under the class's lock.
  [[nodiscard]] item_ref take_oldest(unsigned slab_class, std::size_t size, bool may_evict) noexcept;
  enum class fate : std::uint8_t { taken, held, alive, unknown };
  [[nodiscard]] fate take(lru& l, item& it, std::size_t size, bool may_evict, item_ref& taken) noexcept;

  const options options_;
  slabs slabs_;
  std::vector<slice> slices_;
  std::vector<lru> lrus_;  // by slab class; [0] is unused

  std::atomic<unix_time> now_;
  std::atomic<unix_time> flush_at_{0};   // 0: no flush is waiting for its time
  high_water<std::uint64_t> flush_cas_;  // items up to this number are gone
  high_water<unix_time> flush_time_;     // the second in which that was decided
  std::atomic<std::uint64_t> malloc_fails_{0};
  alignas(64) std::atomic<std::uint64_t> last_cas_{0};  // apart from what every get reads, since every set writes it
};

}  // namespace storage
