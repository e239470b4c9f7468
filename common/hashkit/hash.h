// From a key to a number of 32 bits: the twelve hash functions that twemproxy lets a pool choose from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hashkit {

enum class hash_type : std::uint8_t {
  one_at_a_time,
  md5,
  crc16,
  crc32,
  crc32a,
  fnv1_64,
  fnv1a_64,
  fnv1_32,
  fnv1a_32,
  hsieh,
  murmur,
  jenkins,
};

// As `hash:` in a nutcracker.yml spells them, in the order of hash_type.
inline constexpr std::array<std::string_view, 12> hash_names = {
    "one_at_a_time", "md5",     "crc16",    "crc32", "crc32a", "fnv1_64",
    "fnv1a_64",      "fnv1_32", "fnv1a_32", "hsieh", "murmur", "jenkins",
};
// nullopt: no such hash.
[[nodiscard]] std::optional<hash_type> hash_type_of(std::string_view name) noexcept;

// The numbers of nutcracker 0.5.0 on x86, with its faults: a client or a second proxy in front of the same servers must
// find every key where this one put it. hash.cpp says where a function is not the one that its name promises.
[[nodiscard]] std::uint32_t hash(hash_type type, std::string_view key) noexcept;

// The part of a key that is hashed, so that keys with the same part share a server: with the hash tag "{}",
// user:{17}:name and user:{17}:mail. It is what stands between the first of the tag's two characters and the next one
// that is the second. The whole key where there is no such part or nothing in it, and where there is no tag. Source:
// twemproxy's notes/recommendation.md, "Hash Tags".
[[nodiscard]] std::string_view tagged_part(std::string_view key, std::string_view hash_tag) noexcept;

}  // namespace hashkit
