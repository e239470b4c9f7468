// Counters that commands move: cmd_get, get_hits, … and the same by slab class.
#pragma once

#include <array>

#include "common/basics/add_stat.h"
#include "common/basics/counters.h"

namespace protocol {

// What commands did to the items of one slab class.
// Thread: as command_stats.
struct slab_counters {
  own_counter set_cmds;
  own_counter get_hits;
  own_counter touch_hits;
  own_counter delete_hits;
  own_counter cas_hits;
  own_counter cas_badval;
  own_counter incr_hits;
  own_counter decr_hits;
};

// What the commands of one thread did.
// Thread: counted by one, read by any. Another thread may call reset(); a command that counts at that very moment may
// then put one old number back. A fresh one serves as a sum: add() the statistics of each thread to it.
struct command_stats {
  own_counter get_cmds;
  own_counter get_misses;
  own_counter touch_cmds;
  own_counter touch_misses;
  own_counter delete_misses;
  own_counter incr_misses;
  own_counter decr_misses;
  own_counter cas_misses;
  own_counter flush_cmds;
  own_counter auth_cmds;
  own_counter auth_errors;
  std::array<slab_counters, 256> slabs;  // by slab class, which an item keeps in one byte

  void add(const command_stats& other) noexcept;
  void reset() noexcept;

  // cmd_get … auth_errors, the lines of "stats" (protocol.txt, "General-purpose statistics"). May throw std::bad_alloc.
  void add_stats(const add_stat& add) const;
  // "<class>:get_hits" … "<class>:touch_hits", the lines of "stats slabs". May throw std::bad_alloc.
  void add_slab_stats(unsigned slab_class, const add_stat& add) const;
};

}  // namespace protocol
