// common/basics/counters.h: counted by one thread or by many.
#include "common/basics/counters.h"

#include <doctest/doctest.h>

#include <latch>
#include <thread>
#include <vector>

TEST_CASE("a shared counter loses nothing when threads count together") {
  shared_counter n;
  {
    std::latch together(4);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&n, &together] {
        together.arrive_and_wait();
        for (int j = 0; j < 250'000; ++j) n.add();
      });
    }
  }
  CHECK(n.value() == 1'000'000);
}

TEST_CASE("an own counter counts up, and forgets") {
  own_counter n;
  n.add();
  n.add(4);
  CHECK(n.value() == 5);
  n.reset();
  CHECK(n.value() == 0);
}
