// What a store is made with.
#pragma once

#include <cstddef>
#include <optional>

namespace storage {

// How callers on several threads are kept apart. The chapter decides.
struct locking {
  // nullopt: one thread only, no lock is ever taken. N: 1 << N locks, each over its slice of the hash table (0: one
  // lock).
  std::optional<unsigned> power{};
};

struct options {
  std::size_t memory_limit = 64u << 20;  // -m, bytes; 0: no limit
  bool evict = true;                     // false: -M
  std::size_t item_size_max = 1u << 20;  // -I, bytes; also the size of a slab page
  double growth_factor = 1.25;           // -f
  std::size_t chunk_size_min = 48;       // -n, bytes of key + value + suffix in the smallest chunk
  bool use_cas = true;                   // false: -C
  unsigned hash_power = 16;              // the table starts with 1 << hash_power buckets; more than there are locks
  locking locks{};
};

}  // namespace storage
