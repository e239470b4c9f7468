// common/storage/item.h: the layout that replies are sent from, and counted references.
#include "common/storage/item.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "tests/unit/storage_helpers.h"

using namespace storage_test;
using storage::item_ref;
using storage::store;

TEST_CASE("item: key, suffix and value stand in the order of a reply") {
  store s{storage::options{}};
  const item_ref it = make_item(s, "a key", "value", 4294967295);
  REQUIRE(it);
  CHECK(it->key() == "a key");
  CHECK(it->suffix() == " 4294967295 5\r\n");
  CHECK(it->key_and_suffix() == "a key 4294967295 5\r\n");
  CHECK(std::as_const(*it).data() == "value\r\n");
  CHECK(it->value() == "value");
  CHECK(it->data().data() == it->payload() + it->key_and_suffix().size());
  CHECK(it->total_size() == sizeof(storage::item) + 5 + 15 + 7);
}

TEST_CASE("item: an empty value, the shortest and the longest key") {
  store s{storage::options{}};
  const std::string long_key(250, 'k');
  const item_ref shortest = make_item(s, "k", "");
  const item_ref longest = make_item(s, long_key, "");
  REQUIRE(shortest);
  REQUIRE(longest);
  CHECK(shortest->key_and_suffix() == "k 0 0\r\n");
  CHECK(shortest->value().empty());
  CHECK(longest->key() == long_key);
  CHECK(longest->value().empty());
}

TEST_CASE("item_ref: the last one gives the chunk back") {
  store s{storage::options{}};
  item_ref one = make_item(s, "k", "v");
  item_ref two = one.share();
  CHECK(one->refcount == 2);
  item_ref three = std::move(one);
  CHECK(!one);
  CHECK(three->refcount == 2);
  two = std::move(three);  // drops what `two` held
  CHECK(two->refcount == 1);
  CHECK(stat_number(s, "1:used_chunks") == 1);
  item_ref& same = two;
  two = std::move(same);
  REQUIRE(two);
  CHECK(two->refcount == 1);
  two.reset();
  CHECK(!two);
  CHECK(stat_number(s, "1:used_chunks") == 0);
}
