// common/storage/store_stats.cpp: memcached's statistics, by name, order and number.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/storage/store.h"
#include "tests/unit/storage_helpers.h"

using namespace storage_test;
using storage::options;
using storage::store;
using storage::store_mode;

namespace {

using lines = std::vector<std::pair<std::string, std::string>>;

add_stat into(lines& all) {
  return [&all](std::string_view name, std::string_view value) { all.emplace_back(name, value); };
}

}  // namespace

TEST_CASE("store_stats: the general lines, in order") {
  store s{options{}};
  put(s, "k", "v");
  put(s, "k", "w");
  lines all;
  s.add_general_stats(into(all));
  CHECK(all == lines{{"hash_power_level", "16"},
                     {"hash_bytes", "524288"},
                     {"hash_is_expanding", "0"},
                     {"malloc_fails", "0"},
                     {"bytes", "66"},
                     {"curr_items", "1"},
                     {"total_items", "2"},
                     {"expired_unfetched", "0"},
                     {"evicted_unfetched", "0"},
                     {"evictions", "0"},
                     {"reclaimed", "0"},
                     {"crawler_reclaimed", "0"},
                     {"crawler_items_checked", "0"},
                     {"lrutail_reflocked", "0"}});
}

TEST_CASE("store_stats: items, only for classes that have some") {
  store s{options{}};
  s.set_time(noon);
  put(s, "k", "v");
  put(s, "gone", std::string(100, 'v'));
  remove(s, "gone");
  s.set_time(noon + 42);
  put(s, "l", "v");
  lines all;
  s.add_items_stats(into(all));
  CHECK(all == lines{{"items:1:number", "2"},
                     {"items:1:age", "42"},
                     {"items:1:evicted", "0"},
                     {"items:1:evicted_nonzero", "0"},
                     {"items:1:evicted_time", "0"},
                     {"items:1:outofmemory", "0"},
                     {"items:1:tailrepairs", "0"},
                     {"items:1:reclaimed", "0"},
                     {"items:1:expired_unfetched", "0"},
                     {"items:1:evicted_unfetched", "0"},
                     {"items:1:crawler_reclaimed", "0"},
                     {"items:1:crawler_items_checked", "0"},
                     {"items:1:lrutail_reflocked", "0"}});
}

TEST_CASE("store_stats: slabs, with the caller's lines after ours") {
  store s{options{}};
  put(s, "k", "v");
  put(s, "l", "v");
  remove(s, "l");
  lines all;
  s.add_slabs_stats(into(all), [&](unsigned slab_class) { all.emplace_back("caller's", std::to_string(slab_class)); });
  CHECK(all == lines{{"1:chunk_size", "96"},
                     {"1:chunks_per_page", "10922"},
                     {"1:total_pages", "1"},
                     {"1:total_chunks", "10922"},
                     {"1:used_chunks", "1"},
                     {"1:free_chunks", "10921"},
                     {"1:free_chunks_end", "0"},
                     {"1:mem_requested", "66"},
                     {"caller's", "1"},
                     {"active_slabs", "1"},
                     {"total_malloced", "1048512"}});
}

TEST_CASE("store_stats: sizes, in steps of 32 bytes") {
  store s{options{}};
  put(s, "k", "v");                         // 66 bytes
  put(s, "l", "v" + std::string(30, 'v'));  // 97
  put(s, "m", std::string(29, 'v'));        // 95
  put(s, "n", std::string(30, 'v'));        // 96
  lines all;
  s.add_sizes_stats(into(all));
  CHECK(all == lines{{"96", "3"}, {"128", "1"}});
}

TEST_CASE("store_stats: cachedump, the newest first") {
  store s{options{}};
  s.set_time(noon);
  put(s, "old", "12345");
  put_until(s, "new", "", 10);
  CHECK(s.cachedump(1, 0) == "ITEM new [0 b; 1000000010 s]\r\nITEM old [5 b; 0 s]\r\nEND\r\n");
  CHECK(s.cachedump(1, 1) == "ITEM new [0 b; 1000000010 s]\r\nEND\r\n");
  CHECK(s.cachedump(2, 0) == "END\r\n");
  CHECK(s.cachedump(0, 0) == "END\r\n");
  CHECK(s.cachedump(43, 0) == "END\r\n");
  CHECK(s.cachedump(4294967295, 0) == "END\r\n");
}

TEST_CASE("store_stats: cachedump, a key can forge no line") {
  store s{options{}};
  put(s, "x [1 b; 0 s]\r\nITEM forged", "v");
  put(s, std::string("\0\x7f\tk\xc3\xa9", 6), "v");
  CHECK(s.cachedump(1, 0) ==
        "ITEM \\x00\\x7f\\x09k\xc3\xa9 [1 b; 0 s]\r\n"
        "ITEM x\\x20[1\\x20b;\\x200\\x20s]\\x0d\\x0aITEM\\x20forged [1 b; 0 s]\r\n"
        "END\r\n");
}

TEST_CASE("store_stats: what waits aside for its holder is shown, and counted") {
  store s{small_store(2)};
  put(s, "held", std::string(800, 'v'));
  put(s, "idle", std::string(800, 'v'));
  const storage::item_ref held = s.get("held");
  put(s, "new", std::string(800, 'v'));
  CHECK(s.cachedump(11, 0) == "ITEM new [800 b; 0 s]\r\nITEM held [800 b; 0 s]\r\nEND\r\n");
  CHECK(s.cachedump(11, 1) == "ITEM new [800 b; 0 s]\r\nEND\r\n");
  lines sizes;
  s.add_sizes_stats(into(sizes));
  CHECK(sizes == lines{{"896", "2"}});
  CHECK(stat_number(s, "items:11:number") == 2);
}

TEST_CASE("store_stats: cachedump ends at 2 MiB") {
  store s{options{}};
  const std::string tail(200, 'k');
  for (int i = 0; i < 20'000; ++i) put(s, std::to_string(i) + tail, "v");
  const std::string text = s.cachedump(s.slab_class(sizeof(storage::item) + 205 + 9), 0);
  CHECK(text.size() <= (2u << 20));
  CHECK(text.size() > (2u << 20) - 300);
  CHECK(text.substr(text.size() - 7) == "\r\nEND\r\n");
}

TEST_CASE("store_stats: reset clears what counts up, and nothing that is") {
  store s{small_store(1)};
  for (const char* key : {"a", "b", "c"}) put(s, key, std::string(800, 'v'));
  REQUIRE(stat_number(s, "evictions") == 2);
  s.reset_stats();
  CHECK(stat_number(s, "evictions") == 0);
  CHECK(stat_number(s, "evicted_unfetched") == 0);
  CHECK(stat_number(s, "total_items") == 0);
  CHECK(stat_number(s, "curr_items") == 1);
  CHECK(stat_number(s, "bytes") > 800);
}
