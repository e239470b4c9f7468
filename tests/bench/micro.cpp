// Micro-benchmarks of what no chapter is about: the storage and the text protocol, without sockets and events. What a
// request costs here is the part of its CPU time that no event loop can save.
//
//   meson compile -C build micro && build/tests/bench/micro
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/protocol/text.h"
#include "common/storage/store.h"

namespace {

constexpr std::size_t key_count = 10'000;
constexpr std::size_t value_size = 100;

// How the chapters lock: not at all (Part I), one lock (06), a table of them (09).
storage::options options_for(benchmark::State& state) {
  static constexpr std::array<storage::locking, 3> ways{{{std::nullopt}, {0u}, {10u}}};
  static constexpr std::array<const char*, 3> names{"no lock", "one lock", "1,024 locks"};
  const auto way = static_cast<std::size_t>(state.range(0));
  state.SetLabel(names[way]);
  storage::options opts;
  opts.locks = ways[way];
  return opts;
}

std::vector<std::string> make_keys() {
  std::vector<std::string> keys;
  for (std::size_t k = 0; k < key_count; ++k) {
    const std::string number = std::to_string(k);
    keys.push_back("key-" + std::string(8 - number.size(), '0') + number);
  }
  return keys;
}

storage::item_ref make_item(storage::store& store, std::string_view key) {
  storage::alloc_error why{};
  storage::item_ref it = store.allocate(key, 0, 0, value_size + 2, why);
  if (!it) throw std::runtime_error("the store is full");
  const std::span<char> data = it->data();
  std::memset(data.data(), 'x', value_size);
  std::memcpy(data.data() + value_size, "\r\n", 2);
  return it;
}

void put(storage::store& store, std::string_view key) {
  std::uint64_t cas = 0;
  if (store.put(make_item(store, key), storage::store_mode::set, cas) != storage::store_result::stored) {
    throw std::runtime_error("not stored");
  }
}

// A store that holds every key, and the keys in a random order that does not change.
struct fixture {
  explicit fixture(const storage::options& opts) : store(opts) {
    store.set_time(1'000'000'000);
    for (const std::string& key : keys) put(store, key);
    std::ranges::shuffle(keys, std::minstd_rand{});
  }
  const std::string& next_key() noexcept { return keys[turn++ % keys.size()]; }

  std::vector<std::string> keys = make_keys();
  storage::store store;
  std::size_t turn = 0;
};

// What process_command needs besides the store.
struct protocol_fixture : fixture {
  explicit protocol_fixture(const storage::options& opts) : fixture(opts) {}

  void process(std::string_view line) { protocol::process_command(env, line, out, items); }

  protocol::command_stats commands;
  protocol::environment env{.store = store, .commands = commands, .set_verbosity = {}, .process_stats = {}};
  protocol::outcome out;
  std::vector<storage::item_ref> items;
};

// ---- Storage --------------------------------------------------------------------------------------------------------

void store_get(benchmark::State& state) {
  fixture f{options_for(state)};
  for (auto _ : state) benchmark::DoNotOptimize(f.store.get(f.next_key()));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(store_get)->DenseRange(0, 2);

void store_get_miss(benchmark::State& state) {
  fixture f{options_for(state)};
  for (auto _ : state) benchmark::DoNotOptimize(f.store.get("no-such-key!"));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(store_get_miss)->DenseRange(0, 2);

void store_put(benchmark::State& state) {
  fixture f{options_for(state)};
  for (auto _ : state) put(f.store, f.next_key());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(store_put)->DenseRange(0, 2);

// A full cache: every put evicts the oldest item first.
void store_put_evicting(benchmark::State& state) {
  storage::options opts;
  opts.memory_limit = std::size_t{2} << 20;
  storage::store store{opts};
  store.set_time(1'000'000'000);
  std::size_t n = 0;
  for (; n < 2 * key_count; ++n) put(store, "new-" + std::to_string(n));
  for (auto _ : state) put(store, "new-" + std::to_string(n++));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(store_put_evicting);

// ---- Protocol -------------------------------------------------------------------------------------------------------

void find_line(benchmark::State& state) {
  const std::string input(static_cast<std::size_t>(state.range(0)), 'x');
  const std::string line = input + "\r\n";
  for (auto _ : state) benchmark::DoNotOptimize(protocol::find_line(line));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(line.size()));
}
BENCHMARK(find_line)->Arg(16)->Arg(256)->Arg(2048);

void command_get(benchmark::State& state) {
  protocol_fixture f{options_for(state)};
  std::string line = "get key-00000000";
  for (auto _ : state) {
    line.replace(4, std::string::npos, f.next_key());
    f.process(line);
    benchmark::DoNotOptimize(f.items.data());
  }
  if (f.items.size() != 1) state.SkipWithError("the get missed");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(command_get)->DenseRange(0, 2);

void command_get_100_keys(benchmark::State& state) {
  protocol_fixture f{options_for(state)};
  std::string line = "get";
  for (int n = 0; n < 100; ++n) line += ' ' + f.next_key();
  for (auto _ : state) {
    f.process(line);
    benchmark::DoNotOptimize(f.items.data());
  }
  if (f.items.size() != 100) state.SkipWithError("a get missed");
  state.SetItemsProcessed(state.iterations() * 100);
}
BENCHMARK(command_get_100_keys)->DenseRange(0, 2);

void command_set(benchmark::State& state) {
  protocol_fixture f{options_for(state)};
  const std::string value = std::string(value_size, 'x') + "\r\n";
  std::string line = "set key-00000000 0 0 100";
  for (auto _ : state) {
    line.replace(4, 12, f.next_key());
    f.process(line);
    const std::span<char> data = f.out.item->data();
    std::memcpy(data.data(), value.data(), value.size());
    protocol::complete_value(f.env, std::move(f.out.item), f.out.mode, f.out.cas, f.out.noreply, f.out);
  }
  if (f.out.line != "STORED") state.SkipWithError("not stored");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(command_set)->DenseRange(0, 2);

void command_unknown(benchmark::State& state) {
  protocol_fixture f{options_for(state)};
  for (auto _ : state) f.process("nonsense");
  if (f.out.line != "ERROR") state.SkipWithError("not refused");
}
BENCHMARK(command_unknown)->Arg(0);

}  // namespace

BENCHMARK_MAIN();
