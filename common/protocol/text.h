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

// The longest line of all, in bytes without its line end, and the longest that begins with "get " or "gets " (after at
// most 100 blanks). 1.4.25 has no bound for those, and bounds the others only where they come in several reads.
inline constexpr std::size_t max_line = 1024;
inline constexpr std::size_t max_get_line = std::size_t{8} << 20;
// `line` is without its line end, which need not have come yet.
[[nodiscard]] bool line_too_long(std::string_view line) noexcept;
inline constexpr std::string_view line_too_long_text = "CLIENT_ERROR line too long";

// Where the first line of `input` ends.
struct line_end {
  std::size_t line;      // its length without \r\n or \n
  std::size_t consumed;  // its length with them
};
// nullopt: no complete line yet. What is too long for a line counts as one, whose end nobody need wait for: all of
// `input`. So it gets the same answer however the network has cut it. The first `searched` bytes are known to hold no
// \n: a long line that comes in many pieces is not searched from its beginning each time.
[[nodiscard]] std::optional<line_end> find_line(std::string_view input, std::size_t searched = 0) noexcept;

// Whether `reply` is one of the three errors (protocol.txt, "Error strings"), or begins like one.
[[nodiscard]] bool is_error(std::string_view reply) noexcept;

// Executes one command line (without its line end), or refuses it for its length. `items` is cleared, and filled when
// the outcome is send_items; it keeps its capacity, so the hot path allocates nothing.
void process_command(environment& env, std::string_view line, outcome& out,
                     std::vector<storage::item_ref>& items) noexcept;

// Executes a storage command whose value has arrived whole in item->data(): checks the final \r\n, stores, fills `out`
// (reply or nothing).
void complete_value(environment& env, storage::item_ref item, storage::store_mode mode, std::uint64_t cas, bool noreply,
                    outcome& out) noexcept;

}  // namespace protocol
