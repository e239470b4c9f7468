// common/storage/optional_mutex.h: a mutex only when turned on.
#include "common/storage/optional_mutex.h"

#include <doctest/doctest.h>

#include <mutex>
#include <thread>

namespace {

bool another_thread_gets(storage::optional_mutex& m) {
  bool got = false;
  std::jthread([&] {
    got = m.try_lock();
    if (got) m.unlock();
  }).join();
  return got;
}

}  // namespace

TEST_CASE("optional_mutex: off, it keeps nobody out") {
  storage::optional_mutex m;
  const std::scoped_lock lock(m);
  CHECK(m.try_lock());
}

TEST_CASE("optional_mutex: on, it is a mutex") {
  storage::optional_mutex m;
  m.turn_on();
  {
    const std::scoped_lock lock(m);
    CHECK(!another_thread_gets(m));
  }
  CHECK(another_thread_gets(m));
}
