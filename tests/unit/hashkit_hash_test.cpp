// common/hashkit/hash.h: public test vectors; where twemproxy departs from them, the numbers by which nutcracker 0.5.0
// places keys.
#include "common/hashkit/hash.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

using hashkit::hash;
using hashkit::hash_type;
using hashkit::tagged_part;
using namespace std::string_view_literals;

TEST_CASE("every hash has its name") {
  CHECK(hashkit::hash_type_of("one_at_a_time") == hash_type::one_at_a_time);
  CHECK(hashkit::hash_type_of("md5") == hash_type::md5);
  CHECK(hashkit::hash_type_of("crc16") == hash_type::crc16);
  CHECK(hashkit::hash_type_of("crc32") == hash_type::crc32);
  CHECK(hashkit::hash_type_of("crc32a") == hash_type::crc32a);
  CHECK(hashkit::hash_type_of("fnv1_64") == hash_type::fnv1_64);
  CHECK(hashkit::hash_type_of("fnv1a_64") == hash_type::fnv1a_64);
  CHECK(hashkit::hash_type_of("fnv1_32") == hash_type::fnv1_32);
  CHECK(hashkit::hash_type_of("fnv1a_32") == hash_type::fnv1a_32);
  CHECK(hashkit::hash_type_of("hsieh") == hash_type::hsieh);
  CHECK(hashkit::hash_type_of("murmur") == hash_type::murmur);
  CHECK(hashkit::hash_type_of("jenkins") == hash_type::jenkins);
  for (const auto name : {""sv, "sha1"sv, "MD5"sv, "md5 "sv, "fnv1a"sv}) CHECK(!hashkit::hash_type_of(name));
}

TEST_CASE("test vectors of the algorithms") {
  // Those of Wikipedia's "Jenkins hash function", and of draft-eastlake-fnv; twemproxy has the low half of 64 bits.
  CHECK(hash(hash_type::one_at_a_time, "a") == 0xca2e9442);
  CHECK(hash(hash_type::one_at_a_time, "The quick brown fox jumps over the lazy dog") == 0x519e91f5);
  CHECK(hash(hash_type::fnv1_32, "foobar") == 0x31f0b262);
  CHECK(hash(hash_type::fnv1a_32, "foobar") == 0xbf9cf968);
  CHECK(hash(hash_type::fnv1_64, "foobar") == (0x340d8765a4dda9c2 & 0xffffffff));
  CHECK(hash(hash_type::fnv1a_64, "foobar") == (0x85944171f73967e8 & 0xffffffff));

  // The check values of the catalogues of CRCs are those of "123456789".
  CHECK(hash(hash_type::crc32a, "123456789") == 0xcbf43926);
  CHECK((hash(hash_type::crc16, "123456789") & 0xffff) == 0x31c3);
}

// What libmemcached's tests expect of the same functions, as far as it has them.
TEST_CASE("libmemcached's numbers") {
  struct expected {
    hash_type type;
    std::uint32_t apple;
    std::uint32_t beat;
  };
  constexpr expected table[] = {
      {hash_type::one_at_a_time, 2297466611, 3902465932},
      {hash_type::md5, 3195025439, 2556848621},
      {hash_type::crc32, 10542, 22009},
      {hash_type::fnv1_32, 67176023, 1190179409},
      {hash_type::fnv1a_32, 280767167, 2421315013},
      {hash_type::fnv1_64, 473199127, 4148981457},
      {hash_type::hsieh, 3738850110, 3636226060},
      {hash_type::murmur, 4142305122, 734504955},
      {hash_type::jenkins, 1442444624, 4253821186},
  };
  for (const auto& row : table) {
    CAPTURE(hashkit::hash_names[static_cast<std::size_t>(row.type)]);
    CHECK(hash(row.type, "apple") == row.apple);
    CHECK(hash(row.type, "beat") == row.beat);
  }
}

TEST_CASE("crc16 keeps above its 16 bits what was shifted out of them") {
  CHECK(hash(hash_type::crc16, "1") == 0x2672);
  CHECK(hash(hash_type::crc16, "12") == 0x0026'20b5);
  CHECK(hash(hash_type::crc16, "123456789") == 0x8690'31c3);
}

TEST_CASE("crc32 is 15 bits of crc32a") { CHECK(hash(hash_type::crc32, "123456789") == (0xcbf43926 >> 16 & 0x7fff)); }

TEST_CASE("some hashes add bytes that have a sign") {
  constexpr auto latin = "a\xe9z"sv;
  CHECK(hash(hash_type::one_at_a_time, latin) == 0x7865cf99);
  CHECK(hash(hash_type::fnv1_64, latin) == 0x94502ed3);
  CHECK(hash(hash_type::fnv1a_64, latin) == 0xfbae211f);
  CHECK(hash(hash_type::fnv1_32, latin) == 0xa763afb3);
  CHECK(hash(hash_type::fnv1a_32, latin) == 0xdce766ff);

  constexpr auto ends_high = "ab\xff"sv;  // of hsieh, the third byte of the last three
  CHECK(hash(hash_type::hsieh, ends_high) == 0x75dc9fd6);

  // These do not.
  CHECK(hash(hash_type::crc16, latin) == 0x7c54d9ac);
  CHECK(hash(hash_type::crc32a, latin) == 0x8938a882);
  CHECK(hash(hash_type::murmur, latin) == 0x72ceea1a);
  CHECK(hash(hash_type::jenkins, latin) == 0x645bd77d);
}

TEST_CASE("keys of every length up to two blocks") {
  const auto all_lengths = [](hash_type type) {
    constexpr auto alphabet = "abcdefghijklmnopqrstuvwxyz"sv;
    std::uint32_t mixed = 0;
    for (std::size_t length = 1; length <= alphabet.size(); ++length)
      mixed = mixed * 31 + hash(type, alphabet.substr(0, length));
    return mixed;
  };
  CHECK(all_lengths(hash_type::hsieh) == 0xa2045e9b);
  CHECK(all_lengths(hash_type::murmur) == 0xf65c381a);
  CHECK(all_lengths(hash_type::jenkins) == 0x0bd407fe);
}

TEST_CASE("a key may hold any byte, and be empty") {
  for (std::size_t i = 0; i < hashkit::hash_names.size(); ++i) {
    const auto type = static_cast<hash_type>(i);
    CAPTURE(hashkit::hash_names[i]);
    CHECK(hash(type, "a\0b"sv) != hash(type, "a"sv));
    CHECK(hash(type, ""sv) == hash(type, std::string_view{}));
  }
}

TEST_CASE("the part of a key that is hashed") {
  CHECK(tagged_part("user:{17}:name", "{}") == "17");
  CHECK(tagged_part("{17}", "{}") == "17");
  CHECK(tagged_part("}{17}", "{}") == "17");
  CHECK(tagged_part("{a}{b}", "{}") == "a");
  CHECK(tagged_part("{a{b}c}", "{}") == "a{b");
  CHECK(tagged_part("a$b$c$d", "$$") == "b");

  for (const auto key : {"plain"sv, "a{b"sv, "a}b"sv, "}b{"sv, "{"sv, "{}b"sv, "{}{b}"sv, ""sv})
    CHECK(tagged_part(key, "{}") == key);
  for (const auto key : {"a$b"sv, "$$b"sv, "$"sv}) CHECK(tagged_part(key, "$$") == key);
  for (const auto tag : {""sv, "{"sv, "{}}"sv}) CHECK(tagged_part("{17}", tag) == "{17}");
}
