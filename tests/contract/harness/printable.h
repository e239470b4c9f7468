// Bytes as a person can read them in a failure message.
#pragma once

#include <string>
#include <string_view>

namespace contract {

// Quoted, with \r, \n, \t and \xNN for what does not print.
[[nodiscard]] std::string printable(std::string_view bytes);

// The same, of at most some 160 bytes around `position`, with the number of bytes left out on either side.
[[nodiscard]] std::string printable_around(std::string_view bytes, std::size_t position);

}  // namespace contract
