// What the commands of both protocols share: the longest key, and what they reach besides their own bytes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "common/basics/add_stat.h"
#include "common/protocol/command_stats.h"
#include "common/protocol/prefix_stats.h"
#include "common/storage/store.h"

namespace protocol {

inline constexpr std::size_t key_max_length = 250;

// The chapter fills it in once.
// Thread: one environment a thread; `commands` is written by that thread alone.
struct environment {
  storage::store& store;
  command_stats& commands;
  bool flush_enabled = true;  // false: -F
  // "verbosity N".
  std::function<void(unsigned level)> set_verbosity;
  // "stats", "stats settings", "stats conns", "stats reset": all that the storage does not answer itself. `group` is
  // what follows "stats" ("" for none). False: no such group. May throw std::bad_alloc, and nothing else.
  std::function<bool(std::string_view group, const add_stat& add)> process_stats;
  // Adds up the commands of all threads, for "stats slabs". Empty: `commands` are all there are.
  std::function<void(command_stats& sum)> sum_commands = {};
  // "stats detail". The threads of one process share one: copy the pointer from the first environment to the others.
  std::shared_ptr<prefix_stats> prefixes = std::make_shared<prefix_stats>();
};

// The statistics of one group, as they follow "stats" in a command. False: no such group. May throw std::bad_alloc.
[[nodiscard]] bool add_stats_group(const environment& env, std::string_view group, const add_stat& add);

// "stats reset". May throw std::bad_alloc.
void reset_stats(environment& env);

}  // namespace protocol
