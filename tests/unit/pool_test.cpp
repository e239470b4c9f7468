// common/pool: memory used again, shares of objects, and queues without nodes.
#include "common/pool/pool.h"

#include <doctest/doctest.h>

#include <array>
#include <utility>

#include "common/pool/linked_queue.h"

namespace {

struct thing : pooled<thing> {
  thing(int number, int& alive) noexcept : n(number), alive_(alive) { ++alive_; }
  ~thing() { --alive_; }

  int n;
  std::array<share<thing>, 2> next;

 private:
  int& alive_;
};

}  // namespace

TEST_CASE("an object lives as long as somebody has a share of it") {
  int alive = 0;
  pool<thing> things(4);
  share<thing> one = things.make(1, alive);
  share<thing> other = one;
  one = nullptr;
  CHECK(alive == 1);
  CHECK(other->n == 1);
  share<thing> moved = std::move(other);
  CHECK(!other);
  const auto& itself = moved;
  moved = itself;
  CHECK(alive == 1);
  moved = things.make(2, alive);
  CHECK(alive == 1);
  CHECK(moved->n == 2);
  moved = nullptr;
  CHECK(alive == 0);
}

TEST_CASE("the memory of what is gone is used again, as much as the pool keeps") {
  int alive = 0;
  pool<thing> things(1);
  share<thing> a = things.make(1, alive);
  share<thing> b = things.make(2, alive);
  const thing* const first = a.get();
  a = nullptr;
  b = nullptr;
  CHECK(things.make(3, alive).get() == first);
  CHECK(alive == 0);
}

TEST_CASE("a queue gives what it was given, in that order; an object can be in two at once") {
  int alive = 0;
  pool<thing> things(4);
  {
    linked_queue<thing> here(0);
    linked_queue<thing> there(1);
    CHECK(here.empty());
    CHECK(here.front() == nullptr);
    for (int n = 0; n < 3; ++n) here.push(things.make(n, alive));
    for (thing* t = here.front(); t != nullptr; t = here.after(*t)) {
      if (t->n == 0) there.push(here.front_share());
    }
    CHECK(here.size() == 3);
    CHECK(there.size() == 1);
    for (int n = 0; n < 3; ++n) CHECK(here.pop()->n == n);
    CHECK(here.empty());
    CHECK(alive == 1);
    here.push(there.pop());
    CHECK(here.front()->n == 0);
    CHECK(there.empty());
  }
  CHECK(alive == 0);
}

TEST_CASE("a queue may be longer than the stack is deep") {
  int alive = 0;
  pool<thing> things(0);
  {
    linked_queue<thing> queue(0);
    for (int n = 0; n < 1'000'000; ++n) queue.push(things.make(n, alive));
  }
  CHECK(alive == 0);
}
