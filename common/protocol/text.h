// memcached's text protocol (1.4.25), as pure functions: bytes in, outcome out. No sockets, no events.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "common/protocol/environment.h"
#include "common/protocol/outcome.h"
#include "common/storage/store.h"

namespace protocol {

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

// Whether `reply` is one of the three errors (protocol.txt, "Error strings"), or begins like one.
[[nodiscard]] bool is_error(std::string_view reply) noexcept;

// Executes one command line (without its line end). `items` is cleared, and filled when the outcome is send_items; it
// keeps its capacity, so the hot path allocates nothing.
void process_command(environment& env, std::string_view line, outcome& out,
                     std::vector<storage::item_ref>& items) noexcept;

// Executes a storage command whose value has arrived whole in item->data(): checks the final \r\n, stores, fills `out`
// (reply or nothing).
void complete_value(environment& env, storage::item_ref item, storage::store_mode mode, std::uint64_t cas, bool noreply,
                    outcome& out) noexcept;

}  // namespace protocol
