// The hash functions, each after its public description. Where twemproxy differs from that, a comment says so.
//
// twemproxy adds a key's bytes as plain `char`, which on x86 has a sign, in one_at_a_time, the four of fnv and one
// corner of hsieh. It shows from the byte 0x80 on: 0xe9 is added as 0xffffffe9. We do the same on every machine.
#include "common/hashkit/hash.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstddef>

#include "common/hashkit/md5.h"

namespace hashkit {
namespace {

constexpr std::uint32_t with_sign(char byte) noexcept {
  return static_cast<std::uint32_t>(static_cast<signed char>(byte));
}

// At most four bytes as a number, the first the least significant; bytes that are not there count as 0.
constexpr std::uint32_t little_endian(std::string_view bytes) noexcept {
  std::uint32_t n = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) n = n << 8 | static_cast<unsigned char>(bytes[i]);
  return n;
}

// Bob Jenkins, "Hash Functions", Dr. Dobb's Journal, 1997.
std::uint32_t one_at_a_time(std::string_view key) noexcept {
  std::uint32_t h = 0;
  for (const char byte : key) {
    h += with_sign(byte);
    h += h << 10;
    h ^= h >> 6;
  }
  h += h << 3;
  h ^= h >> 11;
  h += h << 15;
  return h;
}

// CRC-16/XMODEM: x^16 + x^12 + x^5 + 1, highest bit first, starting from 0. twemproxy forgets to cut the sum to 16 bits
// after each byte: those that were shifted out remain above them.
constexpr auto crc16_of_byte = [] {
  std::array<std::uint16_t, 256> table{};
  for (unsigned byte = 0; byte < table.size(); ++byte) {
    unsigned crc = byte << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
    table[byte] = static_cast<std::uint16_t>(crc);
  }
  return table;
}();

std::uint32_t crc16(std::string_view key) noexcept {
  std::uint32_t crc = 0;
  for (const char byte : key) crc = crc << 8 ^ crc16_of_byte[(crc >> 8 ^ static_cast<unsigned char>(byte)) & 0xff];
  return crc;
}

// The CRC-32 of zip, gzip and Ethernet.
std::uint32_t crc32a(std::string_view key) noexcept {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(key.data()), key.size()));
}

// 15 bits of it, as in libmemcached.
std::uint32_t crc32(std::string_view key) noexcept { return crc32a(key) >> 16 & 0x7fff; }

// Fowler, Noll and Vo: fnv1 multiplies by a prime before it adds a byte, fnv1a afterwards. The low half of a product
// depends on the low halves of its factors alone, so those of the 64-bit constants are enough for the 32 bits that
// twemproxy keeps of the 64-bit hashes.
struct fnv {
  std::uint32_t basis;
  std::uint32_t prime;
};
constexpr fnv fnv_64 = {.basis = 0x84222325, .prime = 0x000001b3};
constexpr fnv fnv_32 = {.basis = 0x811c9dc5, .prime = 0x01000193};

std::uint32_t fnv1(fnv constants, std::string_view key) noexcept {
  std::uint32_t h = constants.basis;
  for (const char byte : key) h = h * constants.prime ^ with_sign(byte);
  return h;
}

std::uint32_t fnv1a(fnv constants, std::string_view key) noexcept {
  std::uint32_t h = constants.basis;
  for (const char byte : key) h = (h ^ with_sign(byte)) * constants.prime;
  return h;
}

// Paul Hsieh's SuperFastHash, started from 0 and not from the key's length.
std::uint32_t hsieh(std::string_view key) noexcept {
  std::uint32_t h = 0;
  for (; key.size() >= 4; key.remove_prefix(4)) {
    h += little_endian(key.substr(0, 2));
    h = h << 16 ^ little_endian(key.substr(2, 2)) << 11 ^ h;
    h += h >> 11;
  }
  h += little_endian(key.substr(0, 2));
  switch (key.size()) {
    case 3:
      h ^= h << 16;
      h ^= with_sign(key[2]) << 18;
      h += h >> 11;
      break;
    case 2:
      h ^= h << 11;
      h += h >> 17;
      break;
    case 1:
      h ^= h << 10;
      h += h >> 1;
      break;
  }
  h ^= h << 3;
  h += h >> 5;
  h ^= h << 4;
  h += h >> 17;
  h ^= h << 25;
  h += h >> 6;
  return h;
}

// Austin Appleby's MurmurHash2, its seed made from the key's length.
std::uint32_t murmur(std::string_view key) noexcept {
  constexpr std::uint32_t multiplier = 0x5bd1e995;
  const auto length = static_cast<std::uint32_t>(key.size());
  const std::uint32_t seed = 0xdeadbeef * length;

  std::uint32_t h = seed ^ length;
  for (; key.size() >= 4; key.remove_prefix(4)) {
    std::uint32_t block = little_endian(key.substr(0, 4)) * multiplier;
    block ^= block >> 24;
    h = h * multiplier ^ block * multiplier;
  }
  if (!key.empty()) h = (h ^ little_endian(key)) * multiplier;
  h ^= h >> 13;
  h *= multiplier;
  h ^= h >> 15;
  return h;
}

// Bob Jenkins' lookup3, "hashlittle", started with 13 as libmemcached has it.
std::uint32_t jenkins(std::string_view key) noexcept {
  constexpr std::size_t block_size = 12;
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(key.size()) + 13;
  std::uint32_t b = a;
  std::uint32_t c = a;
  const auto add_block = [&](std::string_view block) {
    const auto word = [&](std::size_t at) { return at < block.size() ? little_endian(block.substr(at, 4)) : 0; };
    a += word(0);
    b += word(4);
    c += word(8);
  };
  using number = std::uint32_t;
  const auto mix = [](number& x, number y, number& z, int bits) {
    x -= z;
    x ^= std::rotl(z, bits);
    z += y;
  };
  const auto finish = [](number& x, number y, int bits) {
    x ^= y;
    x -= std::rotl(y, bits);
  };

  for (; key.size() > block_size; key.remove_prefix(block_size)) {
    add_block(key.substr(0, block_size));
    mix(a, b, c, 4);
    mix(b, c, a, 6);
    mix(c, a, b, 8);
    mix(a, b, c, 16);
    mix(b, c, a, 19);
    mix(c, a, b, 4);
  }
  if (key.empty()) return c;
  add_block(key);
  finish(c, b, 14);
  finish(a, c, 11);
  finish(b, a, 25);
  finish(c, b, 16);
  finish(a, c, 4);
  finish(b, a, 14);
  finish(c, b, 24);
  return c;
}

}  // namespace

std::optional<hash_type> hash_type_of(std::string_view name) noexcept {
  const auto found = std::ranges::find(hash_names, name);
  if (found == hash_names.end()) return std::nullopt;
  return static_cast<hash_type>(found - hash_names.begin());
}

std::uint32_t hash(hash_type type, std::string_view key) noexcept {
  switch (type) {
    case hash_type::one_at_a_time: return one_at_a_time(key);
    case hash_type::md5: return md5(key)[0];
    case hash_type::crc16: return crc16(key);
    case hash_type::crc32: return crc32(key);
    case hash_type::crc32a: return crc32a(key);
    case hash_type::fnv1_64: return fnv1(fnv_64, key);
    case hash_type::fnv1a_64: return fnv1a(fnv_64, key);
    case hash_type::fnv1_32: return fnv1(fnv_32, key);
    case hash_type::fnv1a_32: return fnv1a(fnv_32, key);
    case hash_type::hsieh: return hsieh(key);
    case hash_type::murmur: return murmur(key);
    case hash_type::jenkins: return jenkins(key);
  }
  return 0;
}

std::string_view tagged_part(std::string_view key, std::string_view hash_tag) noexcept {
  if (hash_tag.size() != 2) return key;
  const auto opening = key.find(hash_tag[0]);
  if (opening == std::string_view::npos) return key;
  const auto closing = key.find(hash_tag[1], opening + 1);
  if (closing == std::string_view::npos) return key;
  const auto part = key.substr(opening + 1, closing - opening - 1);
  return part.empty() ? key : part;
}

}  // namespace hashkit
