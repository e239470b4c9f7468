// common/storage/store.h with several threads at once, for every kind of locking that allows them. Worth most under
// TSan.
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/storage/store.h"
#include "tests/unit/storage_helpers.h"

using namespace storage_test;
using storage::item_ref;
using storage::options;
using storage::store;
using storage::store_mode;
using storage::store_result;

namespace {

constexpr unsigned threads = 4;

// One lock for all, and a few.
constexpr unsigned powers[] = {0, 3};

options locked(options opts, unsigned power) {
  opts.locks.power = power;
  return opts;
}

// Runs work(0) … work(3) at the same time.
void at_once(const std::function<void(unsigned)>& work) {
  std::atomic<unsigned> waiting{threads};
  std::vector<std::jthread> all;
  for (unsigned t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      --waiting;
      while (waiting > 0) std::this_thread::yield();
      work(t);
    });
  }
}

// A cheap sequence of numbers. Thread: one of its own for each.
class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t below(std::uint64_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return (state_ >> 33) % n;
  }

 private:
  std::uint64_t state_;
};

// Eight equal letters, so that a torn value shows.
std::string block(unsigned n) { return std::string(8, static_cast<char>('a' + n % 26)); }

bool is_whole(std::string_view value) {
  if (value.empty() || value.size() % 8 != 0) return false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != value[i / 8 * 8]) return false;
  }
  return true;
}

// What the eviction tests store under a key: it can be checked without knowing who stored it.
std::string value_for(std::string_view key) {
  std::string value(200, ' ');
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = key[i % key.size()];
  return value;
}

}  // namespace

TEST_CASE("store_threads: increments add up") {
  for (const unsigned power : powers) {
    store s{locked({}, power)};
    constexpr std::uint64_t each = 10'000;
    put(s, "n", "0");
    std::atomic<std::uint64_t> failures{0};
    at_once([&](unsigned t) {
      for (std::uint64_t i = 0; i < each; ++i) {
        if (add_delta(s, "n", true, 1).what != storage::delta_result::ok) ++failures;
        // A reader in between forces new items where the number could have been written in place.
        if (t == 0 && i % 16 == 0) (void)s.get("n");
      }
    });
    CHECK(failures.load() == 0);
    CHECK(value_of(s, "n") == std::to_string(threads * each));
  }
}

TEST_CASE("store_threads: no cas is lost, and no number given twice") {
  for (const unsigned power : powers) {
    store s{locked({}, power)};
    constexpr std::uint64_t each = 2'000;
    put(s, "n", "0");
    std::atomic<std::uint64_t> wrong{0};
    at_once([&](unsigned) {
      std::uint64_t last = 0;
      for (std::uint64_t done = 0; done < each;) {
        const item_ref old = s.get("n");
        if (old->cas < last) ++wrong;
        last = old->cas;
        std::uint64_t cas = old->cas;
        const item_ref fresh = make_item(s, "n", std::to_string(std::stoull(std::string(old->value())) + 1));
        if (s.put(fresh, store_mode::cas, cas) == store_result::stored) ++done;
      }
    });
    CHECK(wrong.load() == 0);
    CHECK(value_of(s, "n") == std::to_string(threads * each));
    CHECK(s.get("n")->cas == threads * each + 1);
  }
}

TEST_CASE("store_threads: appends arrive once each") {
  for (const unsigned power : powers) {
    store s{locked({}, power)};
    constexpr std::size_t each = 500;
    put(s, "k", "");
    at_once([&](unsigned t) {
      for (std::size_t i = 0; i < each; ++i) {
        (void)put(s, "k", block(t), t % 2 == 0 ? store_mode::append : store_mode::prepend);
      }
    });
    const std::string value = value_of(s, "k").value();
    REQUIRE(is_whole(value));
    for (unsigned t = 0; t < threads; ++t) {
      CHECK(std::count(value.begin(), value.end(), block(t)[0]) == 8 * each);
    }
  }
}

TEST_CASE("store_threads: nobody sees a torn value") {
  for (const unsigned power : powers) {
    store s{locked({}, power)};
    s.set_time(noon);
    put(s, "k", block(0));
    put(s, "n", "0");
    std::atomic<std::uint64_t> torn{0};
    at_once([&](unsigned t) {
      dice d(t);
      std::uint64_t highest = 0;
      for (unsigned i = 0; i < 10'000; ++i) {
        switch (d.below(8)) {
          case 0: (void)put(s, "k", block(i) + block(i + 1)); break;
          case 1: (void)put(s, "k", block(i), store_mode::append); break;
          case 2: (void)put(s, "k", block(i), store_mode::prepend); break;
          case 3: (void)add_delta(s, "n", true, 7'777'777'777); break;
          case 4: (void)s.get_and_touch("k", s.expiry(100'000)); break;
          case 5: {
            const item_ref n = s.get("n");
            const std::uint64_t number = std::stoull(std::string(n->value()));
            if (number < highest || number % 7'777'777'777 != 0) ++torn;
            highest = number;
            break;
          }
          default: {
            const item_ref k = s.get("k");
            if (!k || !is_whole(k->value())) ++torn;
          }
        }
        if (t == 0 && i % 100 == 0) s.set_time(noon + i);
      }
    });
    CHECK(torn.load() == 0);
  }
}

// The flag is relaxed on purpose: it orders nothing, so that for TSan only the reference count stands between the
// reading of the value and the writing.
TEST_CASE("store_threads: a value is written into after its last reader is through") {
  for (const unsigned power : powers) {
    store s{locked({}, power)};
    put(s, "n", "10");
    std::atomic<bool> through{false};
    std::string seen;
    std::jthread reader([&] {
      seen = value_of(s, "n").value();
      through.store(true, std::memory_order_relaxed);
    });
    while (!through.load(std::memory_order_relaxed)) std::this_thread::yield();
    CHECK(add_delta(s, "n", true, 1).value == 11);
    reader.join();
    CHECK(seen == "10");
    CHECK(stat_number(s, "total_items") == 1);
  }
}

TEST_CASE("store_threads: eviction takes nothing that somebody reads") {
  for (const unsigned power : powers) {
    options opts = locked(small_store(64), power);
    store s(opts);
    std::atomic<std::uint64_t> wrong{0}, hits{0};
    at_once([&](unsigned t) {
      dice d(t);
      std::vector<std::pair<std::string, item_ref>> held(8);
      for (int i = 0; i < 10'000; ++i) {
        const std::string key = std::to_string(d.below(500));
        if (d.below(2) == 0) {
          (void)put(s, key, value_for(key));
          continue;
        }
        auto& [held_key, held_item] = held[d.below(held.size())];
        if (held_item && held_item->value() != value_for(held_key)) ++wrong;
        held_key = key;
        held_item = s.get(key);
        if (held_item) ++hits;
        if (d.below(50) == 0) (void)remove(s, key);
        if (d.below(200) == 0) (void)stat_number(s, "curr_items");
        if (d.below(200) == 0) (void)s.cachedump(5, 0);
      }
    });
    CHECK(wrong.load() == 0);
    CHECK(hits.load() > 0);
    CHECK(stat_number(s, "evictions") > 0);
    CHECK(stat_number(s, "total_malloced") <= opts.memory_limit);
  }
}

TEST_CASE("store_threads: a table that grows under all threads loses nothing") {
  for (const unsigned power : powers) {
    store s{locked(options{.hash_power = 4}, power)};
    constexpr int each = 20'000;
    std::atomic<int> missing{0};
    at_once([&](unsigned t) {
      const std::string prefix = std::to_string(t) + ":";
      for (int i = 0; i < each; ++i) {
        (void)put(s, prefix + std::to_string(i), "v");
        if (!s.get(prefix + std::to_string(i / 2))) ++missing;
      }
    });
    CHECK(missing.load() == 0);
    CHECK(stat_number(s, "curr_items") == threads * each);
    CHECK(s.hash_power() >= 15);
  }
}

TEST_CASE("store_threads: a flush takes what its thread stored before, and not what it stores after") {
  for (const unsigned power : powers) {
    store s{locked({}, power)};
    std::atomic<int> wrong{0};
    at_once([&](unsigned t) {
      for (int i = 0; i < 3'000; ++i) {
        if (t == 0) {
          (void)put(s, "mine", "1");
          s.flush_all(0);
          if (s.get("mine")) ++wrong;
          (void)put(s, "mine", "2");
          if (!s.get("mine")) ++wrong;
        } else {
          (void)put(s, std::to_string(i % 50), "other");
          (void)s.get(std::to_string(i % 50));
        }
      }
    });
    CHECK(wrong.load() == 0);
  }
}
