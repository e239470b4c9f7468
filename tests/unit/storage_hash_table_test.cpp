// common/storage/hash_table.h: finding, and growing in small steps.
#include "common/storage/hash_table.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using storage::hash_of;
using storage::hash_table;
using storage::item;

// Items of eight-byte keys, without slabs.
class items {
 public:
  explicit items(std::size_t count) : chunks_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      chunk& c = chunks_[i];
      c.header.nkey = sizeof c.key;
      const std::string digits = std::to_string(10'000'000 + i);
      digits.copy(c.header.payload(), sizeof c.key);
    }
  }
  item& operator[](std::size_t i) { return chunks_[i].header; }

 private:
  struct chunk {
    item header{};
    char key[8]{};
  };
  std::vector<chunk> chunks_;
};

void insert(hash_table& table, item& it) {
  const std::uint64_t hash = hash_of(it.key());
  REQUIRE(table.find(it.key(), hash) == nullptr);
  table.insert(it, hash);
  if (table.is_crowded()) REQUIRE(table.start_growing());
}

item* find(hash_table& table, std::string_view key) { return table.find(key, hash_of(key)); }

}  // namespace

TEST_CASE("hash_table: finds what was inserted, and not what was erased") {
  items all(3);
  hash_table table(1);
  for (std::size_t i = 0; i < 3; ++i) insert(table, all[i]);
  CHECK(table.size() == 3);
  CHECK(find(table, all[1].key()) == &all[1]);
  CHECK(find(table, "no such key") == nullptr);

  table.erase(all[1], hash_of(all[1].key()));
  CHECK(table.size() == 2);
  CHECK(find(table, all[1].key()) == nullptr);
  CHECK(find(table, all[0].key()) == &all[0]);
  CHECK(find(table, all[2].key()) == &all[2]);
}

TEST_CASE("hash_table: keys are compared whole, whatever their bytes") {
  items all(1);
  hash_table table(0);
  insert(table, all[0]);
  CHECK(find(table, "1000000") == nullptr);
  CHECK(find(table, "100000000") == nullptr);
  CHECK(find(table, std::string_view("1000000\0", 8)) == nullptr);
  CHECK(find(table, "10000000") == &all[0]);
}

TEST_CASE("hash_table: growing moves at most a fixed number of buckets an operation and loses nothing") {
  constexpr std::size_t count = 100'000;
  items all(count);
  hash_table table(2);
  std::size_t growths = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t before = table.buckets_to_move();
    const std::size_t buckets = table.buckets();
    insert(table, all[i]);
    if (table.buckets() != buckets) {
      ++growths;
      REQUIRE(table.buckets() == 2 * buckets);
      REQUIRE(table.buckets_to_move() == buckets);
    } else {
      REQUIRE(before - table.buckets_to_move() <= hash_table::buckets_moved_at_once);
      if (before != 0) REQUIRE(table.buckets_to_move() < before);
    }
    REQUIRE(find(table, all[i / 2].key()) == &all[i / 2]);
  }
  CHECK(growths == 15);  // 4 buckets become 131,072: never more than three items for two
  CHECK(table.size() == count);
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) found += find(table, all[i].key()) == &all[i] ? 1 : 0;
  CHECK(found == count);
  CHECK(!table.is_growing());
}

TEST_CASE("hash_table: erases in both arrays while it grows") {
  constexpr std::size_t count = 97;  // 64 buckets, one item more than their half again
  items all(count);
  hash_table table(6);
  for (std::size_t i = 0; i < count; ++i) insert(table, all[i]);
  REQUIRE(table.is_growing());
  CHECK(table.bytes() == (64 + 128) * sizeof(item*));
  for (int n = 0; n < 10; ++n) CHECK(find(table, "no such key") == nullptr);
  CHECK(table.buckets_to_move() == 64 - 10 * hash_table::buckets_moved_at_once);
  for (std::size_t i = 0; i < count; i += 2) table.erase(all[i], hash_of(all[i].key()));
  for (std::size_t i = 0; i < count; ++i) CHECK(find(table, all[i].key()) == (i % 2 == 0 ? nullptr : &all[i]));
  CHECK(!table.is_growing());
  CHECK(table.bytes() == 128 * sizeof(item*));
}
