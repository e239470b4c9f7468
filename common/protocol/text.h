// memcached's text protocol (1.4.25), as pure functions: bytes in, outcome out. No sockets, no events.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "common/protocol/command_stats.h"
#include "common/protocol/outcome.h"
#include "common/protocol/prefix_stats.h"
#include "common/storage/store.h"

namespace protocol {

// What commands reach besides their own bytes. The chapter fills it in once.
// Thread: one environment a thread; `commands` is written by that thread alone.
struct environment {
  storage::store& store;
  command_stats& commands;
  bool flush_enabled = true;  // false: -F
  // "verbosity N".
  std::function<void(unsigned level)> set_verbosity;
  // "stats", "stats settings", "stats conns", "stats reset": all that the storage does not answer itself. `group` is
  // what follows "stats" ("" for none). False: no such group. May throw std::bad_alloc, and nothing else.
  std::function<bool(std::string_view group, const storage::add_stat& add)> process_stats;
  // Adds up the commands of all threads, for "stats slabs". Empty: `commands` are all there are.
  std::function<void(command_stats& sum)> sum_commands = {};
  // "stats detail". The threads of one process share one: copy the pointer from the first environment to the others.
  std::shared_ptr<prefix_stats> prefixes = std::make_shared<prefix_stats>();
};

// Where the first line of `input` ends.
struct line_end {
  std::size_t line;      // its length without \r\n or \n
  std::size_t consumed;  // its length with them
};
// nullopt: no complete line yet.
[[nodiscard]] std::optional<line_end> find_line(std::string_view input) noexcept;

// Whether so much input without a line end can still become a command: up to 1,024 bytes always, beyond that only for
// "get " and "gets " (after at most 100 blanks), and for those up to max_command_line. 1.4.25 sets no bound there.
inline constexpr std::size_t max_command_line = 1u << 20;
[[nodiscard]] bool may_grow_into_command(std::string_view input) noexcept;

// Executes one command line (without its line end). `items` is cleared, and filled when the outcome is send_items; it
// keeps its capacity, so the hot path allocates nothing.
void process_command(environment& env, std::string_view line, outcome& out,
                     std::vector<storage::item_ref>& items) noexcept;

// Executes a storage command whose value has arrived whole in item->data(): checks the final \r\n, stores, fills `out`
// (reply or nothing).
void complete_value(environment& env, storage::item_ref item, storage::store_mode mode, std::uint64_t cas, bool noreply,
                    outcome& out) noexcept;

}  // namespace protocol
