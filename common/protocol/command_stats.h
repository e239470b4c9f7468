// Counters that commands move: cmd_get, get_hits, … and the same by slab class.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "common/storage/store.h"

namespace protocol {

// A number that one thread counts and any thread may read. No locked instruction: the only writer needs no
// read-modify-write.
class counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.store(value() + n, std::memory_order_relaxed); }
  void reset() noexcept { value_.store(0, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// What commands did to the items of one slab class.
// Thread: as command_stats.
struct slab_counters {
  counter set_cmds;
  counter get_hits;
  counter touch_hits;
  counter delete_hits;
  counter cas_hits;
  counter cas_badval;
  counter incr_hits;
  counter decr_hits;
};

// What the commands of one thread did.
// Thread: counted by one, read by any. Another thread may call reset(); a command that counts at that very moment may
// then put one old number back. A fresh one serves as a sum: add() the statistics of each thread to it.
struct command_stats {
  counter get_cmds;
  counter get_misses;
  counter touch_cmds;
  counter touch_misses;
  counter delete_misses;
  counter incr_misses;
  counter decr_misses;
  counter cas_misses;
  counter flush_cmds;
  counter auth_cmds;
  counter auth_errors;
  std::array<slab_counters, 256> slabs;  // by slab class, which an item keeps in one byte

  void add(const command_stats& other) noexcept;
  void reset() noexcept;

  // cmd_get … auth_errors, the lines of "stats" (protocol.txt, "General-purpose statistics"). May throw std::bad_alloc.
  void add_stats(const storage::add_stat& add) const;
  // "<class>:get_hits" … "<class>:touch_hits", the lines of "stats slabs". May throw std::bad_alloc.
  void add_slab_stats(unsigned slab_class, const storage::add_stat& add) const;
};

}  // namespace protocol
