// What the storage tests share: whole values in, whole values out.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/storage/store.h"

namespace storage_test {

inline constexpr std::int64_t noon = 1'000'000'000;  // where the tests' clocks start

// Small pages, so that few items fill the memory.
inline storage::options small_store(std::size_t pages) {
  storage::options opts;
  opts.item_size_max = 1024;
  opts.memory_limit = pages * opts.item_size_max;
  opts.hash_power = 4;
  return opts;
}

// Empty if there was no memory for it, or it was too large.
inline storage::item_ref make_item(storage::store& s, std::string_view key, std::string_view value,
                                   std::uint32_t flags = 0, storage::unix_time exptime = 0) {
  storage::alloc_error why;
  storage::item_ref it = s.allocate(key, flags, exptime, value.size() + 2, why);
  if (it) {
    std::copy(value.begin(), value.end(), it->data().begin());
    std::copy_n("\r\n", 2, it->data().begin() + static_cast<std::ptrdiff_t>(value.size()));
  }
  return it;
}

inline storage::store_result put(storage::store& s, std::string_view key, std::string_view value,
                                 storage::store_mode mode = storage::store_mode::set, std::uint64_t cas = 0) {
  const storage::item_ref it = make_item(s, key, value);
  return it ? s.put(it, mode, cas) : storage::store_result::out_of_memory;
}

inline storage::store_result put_until(storage::store& s, std::string_view key, std::string_view value,
                                       std::int64_t exptime) {
  std::uint64_t cas = 0;
  return s.put(make_item(s, key, value, 0, s.expiry(exptime)), storage::store_mode::set, cas);
}

inline std::optional<std::string> value_of(storage::store& s, std::string_view key) {
  const storage::item_ref it = s.get(key);
  if (!it) return std::nullopt;
  return std::string(it->value());
}

inline storage::store_result remove(storage::store& s, std::string_view key, std::uint64_t cas = 0) {
  unsigned slab_class = 0;
  return s.remove(key, cas, slab_class);
}

inline std::uint64_t stat_number(const storage::store& s, std::string_view name) {
  std::uint64_t found = 0;
  const add_stat look = [&](std::string_view n, std::string_view v) {
    if (n == name) found = std::stoull(std::string(v));
  };
  s.add_general_stats(look);
  s.add_items_stats(look);
  s.add_slabs_stats(look, [](unsigned) {});
  return found;
}

struct delta_answer {
  storage::delta_result what;
  std::uint64_t value = 0;
  std::uint64_t cas = 0;
  unsigned slab_class = 0;
};

inline delta_answer add_delta(storage::store& s, std::string_view key, bool incr, std::uint64_t delta,
                              std::uint64_t cas = 0) {
  delta_answer a{.what = storage::delta_result::ok, .cas = cas};
  a.what = s.add_delta(key, incr, delta, a.cas, a.value, a.slab_class);
  return a;
}

}  // namespace storage_test
