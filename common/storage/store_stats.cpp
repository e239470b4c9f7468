// What the store tells about itself, in memcached's names and order. Numbers are copied under the lock that guards
// them; the caller's functions are called without one.
#include <bit>
#include <charconv>
#include <map>
#include <mutex>

#include "common/storage/printable.h"
#include "common/storage/store.h"

namespace storage {
namespace {

constexpr std::size_t size_step = 32;            // of the histogram of "stats sizes"
constexpr std::size_t cachedump_max = 2u << 20;  // bytes of text
constexpr std::string_view cachedump_end = "END\r\n";

void add_number(const add_stat& add, std::string_view name, std::uint64_t number) {
  char text[20];
  const char* const end = std::to_chars(text, text + sizeof text, number).ptr;
  add(name, {text, static_cast<std::size_t>(end - text)});
}

}  // namespace

unsigned store::hash_power() const noexcept {
  std::size_t buckets = 0;
  for (const slice& s : slices_) {
    const std::scoped_lock lock(s.mutex);
    buckets += s.table.buckets();
  }
  return static_cast<unsigned>(std::bit_width(buckets) - 1);
}

void store::add_general_stats(const add_stat& add) const {
  std::uint64_t hash_bytes = 0, bytes = 0, curr_items = 0, total_items = 0;
  bool is_expanding = false;
  for (const slice& s : slices_) {
    const std::scoped_lock lock(s.mutex);
    hash_bytes += s.table.bytes();
    is_expanding = is_expanding || s.table.is_growing();
    bytes += s.bytes;
    curr_items += s.table.size();
    total_items += s.total_items;
  }

  lru_counters sum;
  for (unsigned slab_class = 1; slab_class <= slab_classes(); ++slab_class) {
    const std::scoped_lock lock(slabs_.mutex(slab_class));
    const lru_counters& c = lrus_[slab_class].counters;
    sum.expired_unfetched += c.expired_unfetched;
    sum.evicted_unfetched += c.evicted_unfetched;
    sum.evicted += c.evicted;
    sum.reclaimed += c.reclaimed;
    sum.lrutail_reflocked += c.lrutail_reflocked;
  }

  add_number(add, "hash_power_level", hash_power());
  add_number(add, "hash_bytes", hash_bytes);
  add_number(add, "hash_is_expanding", is_expanding ? 1 : 0);
  add_number(add, "malloc_fails", malloc_fails_.load(std::memory_order_relaxed));
  add_number(add, "bytes", bytes);
  add_number(add, "curr_items", curr_items);
  add_number(add, "total_items", total_items);
  add_number(add, "expired_unfetched", sum.expired_unfetched);
  add_number(add, "evicted_unfetched", sum.evicted_unfetched);
  add_number(add, "evictions", sum.evicted);
  add_number(add, "reclaimed", sum.reclaimed);
  add_number(add, "crawler_reclaimed", 0);  // there is no crawler; 1.4.25 has one, off unless asked for
  add_number(add, "crawler_items_checked", 0);
  add_number(add, "lrutail_reflocked", sum.lrutail_reflocked);
}

void store::add_items_stats(const add_stat& add) const {
  for (unsigned slab_class = 1; slab_class <= slab_classes(); ++slab_class) {
    std::size_t number;
    std::uint64_t age;
    lru_counters c;
    {
      const lru& l = lrus_[slab_class];
      const std::scoped_lock lock(slabs_.mutex(slab_class));
      if (l.size() == 0) continue;
      number = l.size();
      age = time() - (l.items.size > 0 ? l.items : l.aside).oldest->time;
      c = l.counters;
    }
    const std::string prefix = "items:" + std::to_string(slab_class) + ":";
    add_number(add, prefix + "number", number);
    add_number(add, prefix + "age", age);
    add_number(add, prefix + "evicted", c.evicted);
    add_number(add, prefix + "evicted_nonzero", c.evicted_nonzero);
    add_number(add, prefix + "evicted_time", c.evicted_time);
    add_number(add, prefix + "outofmemory", c.outofmemory);
    add_number(add, prefix + "tailrepairs", 0);  // references are counted by RAII: there are no leaks to repair
    add_number(add, prefix + "reclaimed", c.reclaimed);
    add_number(add, prefix + "expired_unfetched", c.expired_unfetched);
    add_number(add, prefix + "evicted_unfetched", c.evicted_unfetched);
    add_number(add, prefix + "crawler_reclaimed", 0);
    add_number(add, prefix + "crawler_items_checked", 0);
    add_number(add, prefix + "lrutail_reflocked", c.lrutail_reflocked);
  }
}

void store::add_sizes_stats(const add_stat& add) const {
  std::map<std::size_t, std::uint64_t> histogram;
  for (unsigned slab_class = 1; slab_class <= slab_classes(); ++slab_class) {
    const std::scoped_lock lock(slabs_.mutex(slab_class));
    lrus_[slab_class].for_each([&](const item& it) {
      ++histogram[(it.total_size() + size_step - 1) / size_step * size_step];
      return true;
    });
  }
  for (const auto& [size, count] : histogram) add_number(add, std::to_string(size), count);
}

void store::add_slabs_stats(const add_stat& add, const std::function<void(unsigned slab_class)>& per_class) const {
  std::uint64_t active = 0;
  for (unsigned slab_class = 1; slab_class <= slab_classes(); ++slab_class) {
    const slab_statistics s = slabs_.statistics(slab_class);
    if (s.pages == 0) continue;
    ++active;
    const std::string prefix = std::to_string(slab_class) + ":";
    add_number(add, prefix + "chunk_size", s.chunk_size);
    add_number(add, prefix + "chunks_per_page", s.chunks_per_page);
    add_number(add, prefix + "total_pages", s.pages);
    add_number(add, prefix + "total_chunks", s.pages * s.chunks_per_page);
    add_number(add, prefix + "used_chunks", s.used_chunks);
    add_number(add, prefix + "free_chunks", s.free_chunks + s.free_chunks_end);
    add_number(add, prefix + "free_chunks_end", 0);  // has meant nothing since memcached cuts a page at once
    add_number(add, prefix + "mem_requested", s.mem_requested);
    per_class(slab_class);
  }
  add_number(add, "active_slabs", active);
  add_number(add, "total_malloced", slabs_.total_malloced());
}

// An item that never expires shows 0, as in 1.6; 1.4.25 shows the second in which the process started.
std::string store::cachedump(unsigned slab_class, std::size_t limit) const {
  std::string dump;
  if (slab_class >= 1 && slab_class <= slab_classes()) {
    const std::scoped_lock lock(slabs_.mutex(slab_class));
    std::size_t shown = 0;
    lrus_[slab_class].for_each([&](const item& it) {
      const std::string line = "ITEM " + printable_word(it.key()) + " [" + std::to_string(it.value().size()) + " b; " +
                               std::to_string(it.exptime) + " s]\r\n";
      if (dump.size() + line.size() + cachedump_end.size() > cachedump_max) return false;
      dump += line;
      return ++shown != limit;
    });
  }
  dump += cachedump_end;
  return dump;
}

void store::reset_stats() noexcept {
  malloc_fails_.store(0, std::memory_order_relaxed);
  for (slice& s : slices_) {
    const std::scoped_lock lock(s.mutex);
    s.total_items = 0;
  }
  for (unsigned slab_class = 1; slab_class <= slab_classes(); ++slab_class) {
    const std::scoped_lock lock(slabs_.mutex(slab_class));
    lrus_[slab_class].counters = {};
  }
}

}  // namespace storage
