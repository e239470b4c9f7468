// common/storage/slabs.h: the ladder of sizes, the pages, the memory limit.
#include "common/storage/slabs.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

namespace {

using storage::item;
using storage::item_ref;
using storage::options;
using storage::slab_statistics;
using storage::slabs;

// Fills the chunk so that overlapping ones, or one over the edge of its page, would show.
item* filled(slabs& memory, unsigned slab_class) {
  const std::size_t size = memory.chunk_size(slab_class);
  item* const it = memory.allocate(slab_class, size);
  if (it == nullptr) return nullptr;
  it->nkey = 0;
  it->nsuffix = 0;
  it->nbytes = static_cast<std::uint32_t>(size - sizeof(item));
  std::memset(it->payload(), 'x', it->nbytes);
  return it;
}

}  // namespace

TEST_CASE("slabs: the ladder of 1.4.25") {
  const slabs memory{options{}};
  const std::vector<std::size_t> first{96, 120, 152, 192, 240, 304, 384, 480, 600, 752, 944, 1184, 1480, 1856};
  REQUIRE(memory.classes() == 42);
  for (unsigned c = 1; c <= first.size(); ++c) CHECK(memory.chunk_size(c) == first[c - 1]);
  CHECK(memory.chunk_size(41) == 771184);
  CHECK(memory.chunk_size(42) == 1048576);
}

TEST_CASE("slabs: every edge of every class") {
  for (const double factor : {1.001, 1.05, 1.25, 2.0, 1000.0}) {
    for (const std::size_t page : {std::size_t{1024}, std::size_t{1000003}, std::size_t{128} << 20}) {
      options opts;
      opts.growth_factor = factor;
      opts.item_size_max = page;
      const slabs memory(opts);
      CAPTURE(factor);
      CAPTURE(page);
      REQUIRE(memory.classes() >= 1);
      REQUIRE(memory.classes() <= 63);
      CHECK(memory.class_of(0) == 1);
      std::size_t below = 0;
      for (unsigned c = 1; c <= memory.classes(); ++c) {
        REQUIRE(memory.chunk_size(c) > below);
        REQUIRE(memory.class_of(below + 1) == c);
        REQUIRE(memory.class_of(memory.chunk_size(c)) == c);
        if (c < memory.classes()) REQUIRE(memory.chunk_size(c) % 8 == 0);
        below = memory.chunk_size(c);
      }
      CHECK(below == page);
      CHECK(memory.class_of(page + 1) == 0);
      CHECK(memory.class_of(SIZE_MAX) == 0);
    }
  }
}

TEST_CASE("slabs: a smallest chunk as large as a page leaves one class") {
  options opts;
  opts.item_size_max = 1024;
  opts.growth_factor = 1.001;
  for (const std::size_t space :
       {std::size_t{972}, std::size_t{1024}}) {  // 972: rounding the chunk up makes it as large as the page
    opts.chunk_size_min = space;
    const slabs memory(opts);
    CHECK(memory.classes() == 1);
    CHECK(memory.class_of(1024) == 1);
  }
}

TEST_CASE("slabs: a page is taken on demand and cut as needed") {
  slabs memory{options{}};
  CHECK(memory.total_malloced() == 0);
  item* const it = filled(memory, 1);
  REQUIRE(it != nullptr);
  CHECK(it->slabs_clsid == 1);
  CHECK(it->refcount == 1);

  slab_statistics s = memory.statistics(1);
  CHECK(s.chunk_size == 96);
  CHECK(s.chunks_per_page == 10922);
  CHECK(s.pages == 1);
  CHECK(s.used_chunks == 1);
  CHECK(s.free_chunks == 0);
  CHECK(s.free_chunks_end == 10921);
  CHECK(s.mem_requested == 96);
  CHECK(memory.total_malloced() == 96 * 10922);

  item_ref(it, memory).reset();
  s = memory.statistics(1);
  CHECK(s.used_chunks == 0);
  CHECK(s.free_chunks == 1);
  CHECK(s.free_chunks_end == 10921);
  CHECK(s.mem_requested == 0);
  CHECK(memory.allocate(1, 60) == it);  // the chunk that is warm in the cache
}

TEST_CASE("slabs: a reused chunk counts with its new size") {
  slabs memory{options{}};
  item* const it = filled(memory, 2);
  memory.reuse(*it, 100);
  CHECK(memory.statistics(2).mem_requested == 100);
  CHECK(memory.statistics(2).used_chunks == 1);
}

TEST_CASE("slabs: chunks do not overlap, and the last one ends within its page") {
  options opts;
  opts.item_size_max = 1024;
  opts.memory_limit = 64 * 1024;
  slabs memory(opts);
  for (unsigned c = 1; c <= memory.classes(); ++c) {
    std::set<char*> starts;
    const std::size_t wanted = 3 * (1024 / memory.chunk_size(c));
    for (std::size_t n = 0; n < wanted; ++n) {
      item* const it = filled(memory, c);
      REQUIRE(it != nullptr);
      starts.insert(reinterpret_cast<char*>(it));
    }
    REQUIRE(starts.size() == wanted);
    for (auto here = starts.begin(), next = std::next(here); next != starts.end(); here = next++) {
      REQUIRE(*next - *here >= static_cast<std::ptrdiff_t>(memory.chunk_size(c)));
    }
  }
}

TEST_CASE("slabs: never more than the limit, but a first page for each class") {
  options opts;
  opts.item_size_max = 1024;
  opts.memory_limit = 4 * 1024;
  slabs memory(opts);
  while (filled(memory, 1) != nullptr) REQUIRE(memory.total_malloced() <= opts.memory_limit);
  CHECK(memory.statistics(1).pages == 4);
  for (unsigned c = 2; c <= memory.classes(); ++c) {
    while (filled(memory, c) != nullptr) continue;
    CHECK(memory.statistics(c).pages == 1);
  }
  CHECK(memory.total_malloced() <= opts.memory_limit + memory.classes() * 1024);
}

TEST_CASE("slabs: a limit of 0 is none") {
  options opts;
  opts.item_size_max = 1024;
  opts.memory_limit = 0;
  slabs memory(opts);
  for (int n = 0; n < 100; ++n) REQUIRE(filled(memory, memory.classes()) != nullptr);
  CHECK(memory.total_malloced() == 100 * 1024);
}
