// common/storage/store.h on one thread: what each operation does to items, time, memory and numbers.
#include "common/storage/store.h"

#include <doctest/doctest.h>

#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/storage_helpers.h"

using namespace storage_test;
using storage::alloc_error;
using storage::delta_result;
using storage::item_ref;
using storage::options;
using storage::store;
using storage::store_mode;
using storage::store_result;

namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
constexpr std::int64_t thirty_days = 30 * 24 * 60 * 60;

options with(options opts, void (*change)(options&)) {
  change(opts);
  return opts;
}

std::uint64_t number_of(store& s, std::string_view key) {
  const item_ref it = s.get(key);
  return it ? it->cas : 0;
}

}  // namespace

TEST_CASE("store: options that contradict each other are refused") {
  using bad = std::invalid_argument;
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.growth_factor = 1.0; })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.growth_factor = std::numeric_limits<double>::quiet_NaN(); })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.item_size_max = 1023; })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.item_size_max = (128u << 20) + 1; })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.chunk_size_min = 0; })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.chunk_size_min = (1u << 20) + 1; })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.hash_power = 0; })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.hash_power = 33; })), bad);
  CHECK_THROWS_AS(store(with({}, [](options& o) { o.locks.power = 16; })), bad);
  CHECK_NOTHROW(store(with({}, [](options& o) { o.locks.power = 15; })));
}

// ---- set, add, replace, append, prepend, cas, remove ----

TEST_CASE("store: set, get, remove") {
  store s{options{}};
  CHECK(!value_of(s, "k"));
  CHECK(put(s, "k", "one") == store_result::stored);
  CHECK(value_of(s, "k") == "one");
  CHECK(put(s, "k", "two") == store_result::stored);
  CHECK(value_of(s, "k") == "two");
  CHECK(!value_of(s, "K"));
  CHECK(remove(s, "k") == store_result::stored);
  CHECK(!value_of(s, "k"));
  CHECK(remove(s, "k") == store_result::not_found);
  CHECK(stat_number(s, "curr_items") == 0);
  CHECK(stat_number(s, "total_items") == 2);
  CHECK(stat_number(s, "bytes") == 0);
}

TEST_CASE("store: keys and values of any bytes") {
  store s{options{}};
  const std::string key("a\0b", 3), value("\r\n\0END\r\n", 8);
  put(s, key, value);
  CHECK(value_of(s, key) == value);
  CHECK(!value_of(s, "a"));
}

TEST_CASE("store: add and replace ask whether there is a live item") {
  store s{options{}};
  s.set_time(noon);
  CHECK(put(s, "k", "r", store_mode::replace) == store_result::not_stored);
  CHECK(put(s, "k", "a", store_mode::add) == store_result::stored);
  CHECK(put(s, "k", "b", store_mode::add) == store_result::not_stored);
  CHECK(value_of(s, "k") == "a");
  CHECK(put(s, "k", "r", store_mode::replace) == store_result::stored);
  CHECK(value_of(s, "k") == "r");
  put_until(s, "k", "gone", -1);
  CHECK(put(s, "k", "r", store_mode::replace) == store_result::not_stored);
  CHECK(put(s, "k", "a", store_mode::add) == store_result::stored);
}

TEST_CASE("store: append and prepend keep flags and expiry of the old item") {
  store s{options{}};
  s.set_time(noon);
  std::uint64_t cas = 0;
  CHECK(put(s, "k", "x", store_mode::append) == store_result::not_stored);
  CHECK(put(s, "k", "x", store_mode::prepend) == store_result::not_stored);
  REQUIRE(s.put(make_item(s, "k", "mid", 7, s.expiry(100)), store_mode::set, cas) == store_result::stored);

  cas = 0;
  CHECK(s.put(make_item(s, "k", ">", 9, 0), store_mode::append, cas) == store_result::stored);
  CHECK(cas == number_of(s, "k"));
  CHECK(put(s, "k", "<", store_mode::prepend) == store_result::stored);
  CHECK(put(s, "k", "", store_mode::append) == store_result::stored);
  const item_ref it = s.get("k");
  REQUIRE(it);
  CHECK(it->value() == "<mid>");
  CHECK(it->suffix() == " 7 5\r\n");
  CHECK(it->flags == 7);
  CHECK(it->exptime == noon + 100);
  CHECK(stat_number(s, "curr_items") == 1);
  CHECK(stat_number(s, "bytes") == it->total_size());
}

TEST_CASE("store: append and prepend compare a number that is not 0") {
  store s{options{}};
  put(s, "k", "v");
  const std::uint64_t cas = number_of(s, "k");
  CHECK(put(s, "k", "x", store_mode::append, cas + 1) == store_result::exists);
  CHECK(value_of(s, "k") == "v");
  CHECK(put(s, "k", "x", store_mode::append, cas) == store_result::stored);
  CHECK(value_of(s, "k") == "vx");
}

TEST_CASE("store: append over the size limit, or without memory, leaves the old value") {
  store s{with(small_store(1), [](options& o) { o.evict = false; })};
  const std::string large(900, 'l');
  REQUIRE(put(s, "k", large) == store_result::stored);
  for (const store_mode mode : {store_mode::append, store_mode::prepend}) {
    CHECK(put(s, "k", std::string(100, 'x'), mode) == store_result::too_large);
    // It would fit, but there is one chunk of that size, and the old item and the new need one each.
    CHECK(put(s, "k", "x", mode) == store_result::out_of_memory);
  }
  CHECK(value_of(s, "k") == large);
}

TEST_CASE("store: numbers begin with 1, and cas compares them") {
  store s{options{}};
  std::uint64_t cas = 0;
  CHECK(put(s, "k", "v", store_mode::cas, 1) == store_result::not_found);
  REQUIRE(s.put(make_item(s, "k", "one"), store_mode::set, cas) == store_result::stored);
  CHECK(cas == 1);
  CHECK(number_of(s, "k") == 1);
  CHECK(put(s, "k", "two", store_mode::cas, 2) == store_result::exists);
  CHECK(put(s, "k", "two", store_mode::cas, 0) == store_result::exists);
  CHECK(value_of(s, "k") == "one");
  CHECK(put(s, "k", "two", store_mode::cas, 1) == store_result::stored);
  CHECK(put(s, "k", "three", store_mode::cas, 1) == store_result::exists);
  CHECK(value_of(s, "k") == "two");
  CHECK(number_of(s, "k") == 2);
}

TEST_CASE("store: set, add and replace with a number are a cas") {
  for (const store_mode mode : {store_mode::set, store_mode::add, store_mode::replace}) {
    store s{options{}};
    CHECK(put(s, "k", "v", mode, 1) == store_result::not_found);
    put(s, "k", "v");
    CHECK(put(s, "k", "w", mode, 99) == store_result::exists);
    CHECK(put(s, "k", "w", mode, 1) == store_result::stored);
    CHECK(value_of(s, "k") == "w");
  }
}

TEST_CASE("store: remove compares a number that is not 0, and names the class") {
  store s{options{}};
  put(s, "k", std::string(200, 'v'));
  unsigned slab_class = 0;
  CHECK(s.remove("k", 2, slab_class) == store_result::exists);
  CHECK(value_of(s, "k"));
  CHECK(s.remove("k", 1, slab_class) == store_result::stored);
  CHECK(s.slab_chunk_size(slab_class) == 304);
}

TEST_CASE("store: -C, numbers are 0 and equal to none") {
  store s{with({}, [](options& o) { o.use_cas = false; })};
  std::uint64_t cas = 0;
  REQUIRE(s.put(make_item(s, "k", "5"), store_mode::set, cas) == store_result::stored);
  CHECK(cas == 0);
  CHECK(number_of(s, "k") == 0);
  CHECK(put(s, "k", "6", store_mode::cas, 0) == store_result::exists);
  CHECK(put(s, "k", "6", store_mode::cas, 1) == store_result::exists);
  CHECK(put(s, "k", "6", store_mode::append, 1) == store_result::exists);
  CHECK(add_delta(s, "k", true, 1, 1).what == delta_result::exists);
  CHECK(add_delta(s, "k", true, 1).cas == 0);
  CHECK(remove(s, "k", 1) == store_result::exists);
  CHECK(value_of(s, "k") == "6");
}

// ---- sizes ----

TEST_CASE("store: the largest value that fits each class, and one byte more") {
  store s{with({}, [](options& o) { o.memory_limit = 256u << 20; })};
  for (unsigned c = 1; c <= s.slab_classes(); ++c) {
    // Header, key, suffix, then the value and its \r\n. The length of the length depends on the length.
    const std::size_t room = s.slab_chunk_size(c) - sizeof(storage::item) - 1 - 2;
    std::size_t length = room;
    while (length + std::string(" 0 \r\n" + std::to_string(length)).size() > room) --length;
    CAPTURE(c);
    const std::string value(length, 'v');
    const item_ref fits = make_item(s, "k", value);
    REQUIRE(fits);
    CHECK(fits->slabs_clsid == c);
    std::uint64_t cas = 0;
    CHECK(s.put(fits, store_mode::set, cas) == store_result::stored);
    CHECK(value_of(s, "k") == value);

    alloc_error why;
    const item_ref more = s.allocate("k", 0, 0, length + 3, why);
    if (c < s.slab_classes()) {
      REQUIRE(more);
      CHECK(more->slabs_clsid == c + 1);
      CHECK(why == alloc_error::none);
    } else {
      CHECK(!more);
      CHECK(why == alloc_error::too_large);
    }
  }
}

TEST_CASE("store: sizes that would overflow are too large") {
  store s{options{}};
  alloc_error why;
  for (const std::size_t nbytes : {std::size_t{1} << 20, std::size_t{1} << 32, SIZE_MAX - 64, SIZE_MAX}) {
    CHECK(!s.allocate("k", 0, 0, nbytes, why));
    CHECK(why == alloc_error::too_large);
  }
  CHECK(!s.allocate(std::string(256, 'k'), 0, 0, 2, why));
  CHECK(why == alloc_error::too_large);
}

TEST_CASE("store: an item limit of 128 MiB") {
  store s{with({}, [](options& o) {
    o.item_size_max = 128u << 20;
    o.memory_limit = 256u << 20;
  })};
  alloc_error why;
  CHECK(s.allocate("k", 0, 0, (128u << 20) - 100, why));
  CHECK(!s.allocate("k", 0, 0, 128u << 20, why));
  CHECK(why == alloc_error::too_large);
}

// ---- incr, decr ----

TEST_CASE("store: incr and decr") {
  store s{options{}};
  CHECK(add_delta(s, "n", true, 1).what == delta_result::not_found);
  put(s, "n", "10");
  const delta_answer up = add_delta(s, "n", true, 5);
  CHECK(up.what == delta_result::ok);
  CHECK(up.value == 15);
  CHECK(up.slab_class == 1);
  CHECK(up.cas == number_of(s, "n"));
  CHECK(up.cas == 2);
  CHECK(value_of(s, "n") == "15");
  CHECK(add_delta(s, "n", false, 15).value == 0);
  CHECK(value_of(s, "n") == "0 ");
  CHECK(stat_number(s, "total_items") == 1);  // nobody else held the item: it was written into
}

TEST_CASE("store: incr wraps at 2^64, decr stops at 0") {
  store s{options{}};
  put(s, "n", "18446744073709551615");
  CHECK(add_delta(s, "n", true, 1).value == 0);
  CHECK(value_of(s, "n") == "0" + std::string(19, ' '));
  CHECK(add_delta(s, "n", true, most).value == most);
  CHECK(value_of(s, "n") == "18446744073709551615");
  CHECK(add_delta(s, "n", true, most).value == most - 1);
  CHECK(add_delta(s, "n", false, most - 2).value == 1);
  CHECK(add_delta(s, "n", false, 2).value == 0);
  CHECK(add_delta(s, "n", false, 0).value == 0);
}

TEST_CASE("store: a number that grows longer gets a new item, one that grows shorter is padded") {
  store s{options{}};
  std::uint64_t cas = 0;
  REQUIRE(s.put(make_item(s, "n", "99", 5, s.expiry(1000)), store_mode::set, cas) == store_result::stored);
  CHECK(add_delta(s, "n", true, 1).value == 100);
  const item_ref longer = s.get("n");
  CHECK(longer->value() == "100");
  CHECK(longer->suffix() == " 5 3\r\n");
  CHECK(longer->exptime == s.time() + 1000);
  CHECK(longer->cas == 2);
  CHECK(add_delta(s, "n", false, 1).value == 99);
  CHECK(value_of(s, "n") == "99 ");
  CHECK(longer->value() == "100");  // somebody holds it: not written into
  CHECK(stat_number(s, "curr_items") == 1);
}

TEST_CASE("store: what is no number stays as it is") {
  store s{options{}};
  for (const char* text :
       {"", " ", "x", "1x", "x1", "-1", "+-1", "0x10", "1.5", "18446744073709551616", "99999999999999999999"}) {
    put(s, "n", text);
    CAPTURE(text);
    CHECK(add_delta(s, "n", true, 1).what == delta_result::non_numeric);
    CHECK(value_of(s, "n") == text);
  }
  put(s, "n", std::string_view("1\0x", 3));  // a C string ends here
  CHECK(add_delta(s, "n", true, 1).what == delta_result::ok);
  for (const char* text :
       {"1", "+1", " \t1", "000000000000000000001", "1                         ", "1 2", "1\r\nx", "1 cd"}) {
    put(s, "n", text);
    CAPTURE(text);
    CHECK(add_delta(s, "n", true, 1).value == 2);
  }
}

TEST_CASE("store: incr compares a number that is not 0") {
  store s{options{}};
  put(s, "n", "1");
  CHECK(add_delta(s, "n", true, 1, 7).what == delta_result::exists);
  CHECK(value_of(s, "n") == "1");
  CHECK(add_delta(s, "n", true, 1, 1).what == delta_result::ok);
  CHECK(add_delta(s, "n", true, 1, 1).what == delta_result::exists);
}

TEST_CASE("store: incr without memory for the longer number") {
  store s{with(small_store(1), [](options& o) {
    o.evict = false;
    o.chunk_size_min = 800;
  })};
  REQUIRE(put(s, "n", "9") == store_result::stored);
  CHECK(add_delta(s, "n", true, 1).what == delta_result::out_of_memory);
  CHECK(value_of(s, "n") == "9");
}

// ---- time ----

TEST_CASE("store: expiry times from the wire") {
  store s{options{}};
  s.set_time(noon);
  CHECK(s.time() == noon);
  CHECK(s.expiry(0) == 0);
  CHECK(s.expiry(1) == noon + 1);
  CHECK(s.expiry(thirty_days) == noon + thirty_days);
  CHECK(s.expiry(thirty_days + 1) == thirty_days + 1);
  CHECK(s.expiry(noon + 5) == noon + 5);
  for (const std::int64_t past : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(), noon - 1, noon}) {
    CHECK(s.expiry(past) != 0);
    CHECK(s.expiry(past) <= s.time());
  }
  CHECK(s.expiry(std::numeric_limits<std::int64_t>::max()) == std::numeric_limits<storage::unix_time>::max());
}

TEST_CASE("store: an item dies at its second, not before") {
  store s{options{}};
  s.set_time(noon);
  put_until(s, "k", "v", 10);
  put_until(s, "forever", "v", 0);
  s.set_time(noon + 9);
  CHECK(value_of(s, "k"));
  s.set_time(noon + 10);
  CHECK(!value_of(s, "k"));
  CHECK(value_of(s, "forever"));
  CHECK(stat_number(s, "curr_items") == 1);
}

TEST_CASE("store: a negative or past expiry is death at once, for every operation") {
  store s{options{}};
  s.set_time(noon);
  for (const std::int64_t exptime : {std::int64_t{-1}, noon - 1, noon}) {
    CHECK(put_until(s, "k", "1", exptime) == store_result::stored);
    CHECK(!value_of(s, "k"));
    put_until(s, "k", "1", exptime);
    CHECK(add_delta(s, "k", true, 1).what == delta_result::not_found);
    put_until(s, "k", "1", exptime);
    CHECK(remove(s, "k") == store_result::not_found);
    put_until(s, "k", "1", exptime);
    CHECK(put(s, "k", "x", store_mode::append) == store_result::not_stored);
    put_until(s, "k", "1", exptime);
    CHECK(put(s, "k", "x", store_mode::cas, 1) == store_result::not_found);
    put_until(s, "k", "1", exptime);
    CHECK(!s.get_and_touch("k", 0));
  }
}

TEST_CASE("store: touch moves the second of death") {
  store s{options{}};
  s.set_time(noon);
  put_until(s, "k", "v", 10);
  const item_ref it = s.get_and_touch("k", s.expiry(20));
  REQUIRE(it);
  CHECK(it->cas == 1);  // no new number: the value is the same
  s.set_time(noon + 19);
  CHECK(value_of(s, "k"));
  s.set_time(noon + 20);
  CHECK(!value_of(s, "k"));
  CHECK(!s.get_and_touch("k", 0));
  put(s, "k", "v");
  CHECK(s.get_and_touch("k", s.expiry(-1)));
  CHECK(!value_of(s, "k"));
}

// ---- flush_all ----

TEST_CASE("store: flush_all now takes all so far, and nothing of what follows in the same second") {
  store s{options{}};
  s.set_time(noon);
  put(s, "old", "v");
  put(s, "number", "1");
  s.flush_all(0);
  put(s, "new", "v");
  CHECK(!value_of(s, "old"));
  CHECK(add_delta(s, "number", true, 1).what == delta_result::not_found);
  CHECK(value_of(s, "new"));
  CHECK(put(s, "old", "again", store_mode::add) == store_result::stored);
  CHECK(value_of(s, "old") == "again");
  s.set_time(noon + 1);
  CHECK(value_of(s, "new"));
}

TEST_CASE("store: flush_all later takes what was stored or used before its second") {
  store s{options{}};
  s.set_time(noon);
  put(s, "before", "v");
  s.flush_all(noon + 10);
  put(s, "between", "v");
  s.set_time(noon + 9);
  put(s, "late", "1");
  CHECK(value_of(s, "before"));
  CHECK(add_delta(s, "late", true, 1).what == delta_result::ok);
  s.set_time(noon + 10);
  put(s, "after", "v");
  CHECK(!value_of(s, "before"));
  CHECK(!value_of(s, "between"));
  CHECK(!value_of(s, "late"));
  CHECK(value_of(s, "after"));
  s.set_time(noon + 20);
  CHECK(value_of(s, "after"));  // it happens once
}

TEST_CASE("store: a flush_all replaces one that is still to come, not one that was") {
  store s{options{}};
  s.set_time(noon);
  put(s, "k", "v");
  s.flush_all(noon + 10);
  s.flush_all(noon + 30);
  s.set_time(noon + 20);
  CHECK(value_of(s, "k"));
  s.flush_all(0);
  put(s, "l", "v");
  s.set_time(noon + 40);
  CHECK(value_of(s, "l"));

  s.flush_all(0);
  s.flush_all(noon + 100);
  CHECK(!value_of(s, "l"));
}

TEST_CASE("store: a clock that jumps over the second of a flush") {
  store s{options{}};
  s.set_time(noon);
  put(s, "k", "v");
  s.flush_all(noon + 10);
  s.set_time(noon + 1000);
  CHECK(!value_of(s, "k"));
}

TEST_CASE("store: -C, a flush takes its whole second") {
  store s{with({}, [](options& o) { o.use_cas = false; })};
  s.set_time(noon);
  put(s, "k", "v");
  s.flush_all(0);
  CHECK(!value_of(s, "k"));
  s.set_time(noon + 1);
  put(s, "k", "w");
  CHECK(value_of(s, "k") == "w");
  s.flush_all(noon + 5);
  s.set_time(noon + 5);
  put(s, "l", "v");
  CHECK(!value_of(s, "k"));
  CHECK(value_of(s, "l"));
}

// ---- references ----

TEST_CASE("store: a reference outlives deletion, replacement, flush and eviction") {
  store s{small_store(1)};
  const std::string value(800, 'v');
  REQUIRE(put(s, "k", value) == store_result::stored);
  const item_ref held = s.get("k");
  remove(s, "k");
  CHECK(held->value() == value);
  // Its chunk is the only one of its class.
  CHECK(put(s, "l", value) == store_result::out_of_memory);
  CHECK(held->value() == value);

  store t{options{}};
  put(t, "k", "one");
  const item_ref one = t.get("k");
  put(t, "k", "two");
  const item_ref two = t.get("k");
  t.flush_all(0);
  CHECK(!value_of(t, "k"));
  put(t, "k", "new");
  CHECK(one->value() == "one");
  CHECK(two->value() == "two");
}

TEST_CASE("store: what is replaced gives its chunk back to its class, once nobody holds it") {
  store s{options{}};
  const auto used = [&](std::string_view value) {
    const unsigned slab_class = make_item(s, "k", value)->slabs_clsid;
    return stat_number(s, std::to_string(slab_class) + ":used_chunks");
  };
  const std::string small(10, 's');
  const std::string large(500, 'l');
  for (const std::string* value : {&small, &small, &large, &large, &small}) {
    CHECK(put(s, "k", *value) == store_result::stored);
    CHECK(used(small) == (value == &small ? 1 : 0));
    CHECK(used(large) == (value == &large ? 1 : 0));
  }
  for (const std::string* value : {&small, &large}) {
    item_ref held = s.get("k");
    CHECK(put(s, "k", *value) == store_result::stored);
    CHECK(used(small) == (value == &small ? 2 : 1));
    CHECK(held->value() == small);
    held.reset();
    CHECK(used(small) == (value == &small ? 1 : 0));
  }
  CHECK(remove(s, "k") == store_result::stored);
  CHECK(used(large) == 0);
}

TEST_CASE("store: an item in use is not evicted, and makes room at the tail") {
  store s{small_store(2)};
  const std::string value(800, 'v');
  put(s, "held", value);
  put(s, "idle", value);
  const item_ref held = s.get("held");
  REQUIRE(put(s, "new", std::string(790, 'v')) == store_result::stored);
  CHECK(held->value() == value);
  CHECK(value_of(s, "held"));
  CHECK(!value_of(s, "idle"));
  CHECK(stat_number(s, "11:mem_requested") == stat_number(s, "bytes"));  // "new" is shorter than "idle"
  CHECK(stat_number(s, "lrutail_reflocked") == 1);
  CHECK(stat_number(s, "evictions") == 1);
}

TEST_CASE("store: more items in use than one allocation looks at do not block a class for good") {
  store s{small_store(100)};
  const std::string value(800, 'v');
  std::vector<item_ref> held;
  for (int i = 0; i < 100; ++i) REQUIRE(put(s, std::to_string(i), value) == store_result::stored);
  for (int i = 0; i < 80; ++i) held.push_back(s.get(std::to_string(i)));
  CHECK(put(s, "new", value) == store_result::out_of_memory);
  CHECK(put(s, "new", value) == store_result::stored);
  for (const item_ref& it : held) CHECK(it->value() == value);
}

TEST_CASE("store: each item in use is met once, however much is stored meanwhile") {
  store s{small_store(72)};
  const std::string value(800, 'v');
  std::vector<item_ref> held;
  for (int i = 0; i < 72; ++i) REQUIRE(put(s, "old" + std::to_string(i), value) == store_result::stored);
  for (int i = 0; i < 67; ++i) held.push_back(s.get("old" + std::to_string(i)));
  int failed = 0;
  for (int i = 0; i < 119; ++i) failed += put(s, "new" + std::to_string(i), value) == store_result::stored ? 0 : 1;
  CHECK(failed <= 1);
  CHECK(stat_number(s, "lrutail_reflocked") == 67);
  CHECK(stat_number(s, "items:11:number") == 72);
  for (int i = 0; i < 67; ++i) CHECK(value_of(s, "old" + std::to_string(i)) == value);

  // Let go, they are the first to go, and one that is held still costs the others nothing.
  const item_ref still = held[0].share();
  held.clear();
  for (int i = 0; i < 66; ++i) REQUIRE(put(s, "last" + std::to_string(i), value) == store_result::stored);
  for (int i = 1; i < 67; ++i) CHECK(!value_of(s, "old" + std::to_string(i)));
  CHECK(value_of(s, "old0") == value);
  CHECK(value_of(s, "new118") == value);
  CHECK(stat_number(s, "lrutail_reflocked") == 67);
}

TEST_CASE("store: an item that waited is an item like others: used, replaced, deleted, expired") {
  store s{small_store(4)};
  s.set_time(noon);
  const std::string value(800, 'v');
  std::vector<item_ref> held;
  for (const char* key : {"used", "replaced", "deleted", "expired"}) {
    put_until(s, key, value, 100);
    held.push_back(s.get(key));
  }
  REQUIRE(put(s, "k", value) == store_result::out_of_memory);
  CHECK(stat_number(s, "lrutail_reflocked") == 4);
  held.clear();

  s.set_time(noon + 61);
  CHECK(s.get_and_touch("used", 0));
  CHECK(put(s, "replaced", value) == store_result::stored);
  CHECK(remove(s, "deleted") == store_result::stored);
  s.set_time(noon + 100);
  CHECK(!value_of(s, "expired"));
  CHECK(value_of(s, "used"));
  CHECK(value_of(s, "replaced"));
  CHECK(stat_number(s, "curr_items") == 2);
  CHECK(stat_number(s, "items:11:number") == 2);
  for (const char* key : {"a", "b", "c"}) REQUIRE(put(s, key, value) == store_result::stored);
  CHECK(stat_number(s, "curr_items") == 4);
  CHECK(!value_of(s, "used"));  // the oldest, by its use
}

// ---- memory ----

TEST_CASE("store: the least recently used goes first, and use counts once a minute") {
  store s{small_store(3)};
  const std::string value(800, 'v');
  s.set_time(noon);
  for (const char* key : {"a", "b", "c"}) REQUIRE(put(s, key, value) == store_result::stored);
  s.set_time(noon + 60);
  CHECK(value_of(s, "a"));  // not yet
  s.set_time(noon + 61);
  CHECK(value_of(s, "b"));
  put(s, "d", value);  // instead of a
  put(s, "e", value);  // instead of c
  CHECK(!value_of(s, "a"));
  CHECK(value_of(s, "b"));
  CHECK(!value_of(s, "c"));
  CHECK(stat_number(s, "evictions") == 2);
  CHECK(stat_number(s, "evicted_unfetched") == 1);
  CHECK(stat_number(s, "items:11:evicted_time") == 61);
}

TEST_CASE("store: an add that fails is a use of the item that is there") {
  store s{small_store(2)};
  const std::string value(800, 'v');
  s.set_time(noon);
  REQUIRE(put(s, "a", value) == store_result::stored);
  REQUIRE(put(s, "b", value) == store_result::stored);
  s.set_time(noon + 61);
  CHECK(put(s, "a", "small", store_mode::add) == store_result::not_stored);
  put(s, "c", value);
  CHECK(value_of(s, "a"));
  CHECK(!value_of(s, "b"));
}

TEST_CASE("store: an expired item at the tail is used again before fresh memory is, with -M too") {
  for (const bool evict : {true, false}) {
    options opts = small_store(2);
    opts.evict = evict;
    store s(opts);
    s.set_time(noon);
    const std::string value(800, 'v');
    put_until(s, "short", value, 10);
    s.set_time(noon + 10);
    REQUIRE(put(s, "a", value) == store_result::stored);
    CHECK(stat_number(s, "total_malloced") == 1024);
    CHECK(stat_number(s, "reclaimed") == 1);
    CHECK(stat_number(s, "expired_unfetched") == 1);
    CHECK(stat_number(s, "evictions") == 0);
    CHECK(stat_number(s, "curr_items") == 1);
  }
}

TEST_CASE("store: what was flushed is used again, too") {
  store s{small_store(2)};
  s.set_time(noon);
  const std::string value(800, 'v');
  put(s, "a", value);
  s.flush_all(0);
  REQUIRE(put(s, "b", value) == store_result::stored);
  CHECK(stat_number(s, "reclaimed") == 1);
  REQUIRE(put(s, "c", value) == store_result::stored);  // b is of the same second, but alive
  CHECK(value_of(s, "b"));
  CHECK(stat_number(s, "total_malloced") == 2048);
}

TEST_CASE("store: -M, a full class is an answer") {
  store s{with(small_store(2), [](options& o) { o.evict = false; })};
  const std::string value(800, 'v');
  REQUIRE(put(s, "a", value) == store_result::stored);
  REQUIRE(put(s, "b", value) == store_result::stored);
  alloc_error why;
  CHECK(!s.allocate("c", 0, 0, 802, why));
  CHECK(why == alloc_error::out_of_memory);
  CHECK(value_of(s, "a"));
  CHECK(value_of(s, "b"));
  CHECK(stat_number(s, "evictions") == 0);
  CHECK(stat_number(s, "items:11:outofmemory") == 1);
  CHECK(put(s, "c", "small") == store_result::stored);  // another class has its first page
  remove(s, "a");
  CHECK(put(s, "c", value) == store_result::stored);
}

TEST_CASE("store: an item that was never stored gives its memory back") {
  store s{small_store(1)};
  for (int i = 0; i < 10; ++i) REQUIRE(make_item(s, "k", std::string(800, 'v')));
  CHECK(stat_number(s, "curr_items") == 0);
}

TEST_CASE("store: memory stays within its limit whatever is stored") {
  store s{with({}, [](options& o) {
    o.memory_limit = 4u << 20;
    o.item_size_max = 64u << 10;
  })};
  std::uint64_t state = 1;
  for (int i = 0; i < 50'000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::size_t length = (state >> 33) % (std::size_t{1} << (state >> 60));
    REQUIRE(put(s, std::to_string(i), std::string(length, 'v')) == store_result::stored);
  }
  for (int i = 0; i < 2'000; ++i) REQUIRE(put(s, std::to_string(i), std::string(60'000, 'v')) == store_result::stored);
  CHECK(stat_number(s, "total_malloced") <= (4u << 20) + s.slab_classes() * (64u << 10));
  CHECK(stat_number(s, "evictions") > 0);
}

// ---- the table ----

TEST_CASE("store: a million items, none lost while the table grows") {
  for (const std::optional<unsigned> power : {std::optional<unsigned>(), std::optional<unsigned>(3)}) {
    options opts;
    opts.memory_limit = 256u << 20;
    opts.hash_power = 4;
    opts.locks.power = power;
    store s(opts);
    constexpr int count = 1'000'000;
    for (int i = 0; i < count; ++i) put(s, std::to_string(i), "v");
    CHECK(stat_number(s, "curr_items") == count);
    int found = 0;
    for (int i = 0; i < count; ++i) found += s.get(std::to_string(i)) ? 1 : 0;
    CHECK(found == count);
    CHECK(s.hash_power() == 20);
    CHECK(stat_number(s, "hash_is_expanding") == 0);
    CHECK(stat_number(s, "hash_bytes") == (8u << 20));
  }
}
