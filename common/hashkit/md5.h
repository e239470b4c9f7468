// MD5 (RFC 1321), computed by libmd. Here it keeps no secret: ketama and the hash "md5" want its bits only because they
// are spread well, and because every other client computes the same ones.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hashkit {

// The digest as the four numbers that RFC 1321 calls A, B, C and D. Its 16 bytes are these, least significant first.
using md5_digest = std::array<std::uint32_t, 4>;

[[nodiscard]] md5_digest md5(std::string_view bytes) noexcept;

}  // namespace hashkit
