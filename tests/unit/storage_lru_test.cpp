// common/storage/lru.h: the list in the order of use, and what is counted.
#include "common/storage/lru.h"

#include <doctest/doctest.h>

#include <vector>

namespace {

using storage::item;
using storage::lru;

// From the newest, after checking that the way back is the same.
std::vector<const item*> order(const lru& l) {
  std::vector<const item*> forward;
  for (const item* it = l.items.newest; it != nullptr; it = it->next) forward.push_back(it);
  std::vector<const item*> backward;
  for (const item* it = l.items.oldest; it != nullptr; it = it->prev) backward.insert(backward.begin(), it);
  CHECK(forward == backward);
  CHECK(forward.size() == l.items.size);
  return forward;
}

}  // namespace

TEST_CASE("lru: push, move, erase at both ends and in the middle") {
  lru l;
  item a{}, b{}, c{};
  CHECK(order(l).empty());
  l.push_newest(a);
  l.push_newest(b);
  l.push_newest(c);
  CHECK(order(l) == std::vector<const item*>{&c, &b, &a});
  l.move_to_newest(a);
  CHECK(order(l) == std::vector<const item*>{&a, &c, &b});
  l.move_to_newest(a);
  CHECK(order(l) == std::vector<const item*>{&a, &c, &b});
  l.erase(c);
  CHECK(order(l) == std::vector<const item*>{&a, &b});
  l.erase(b);
  CHECK(order(l) == std::vector<const item*>{&a});
  l.erase(a);
  CHECK(order(l).empty());
}

TEST_CASE("lru: what waits aside is out of the order, until it is used or goes") {
  lru l;
  item a{}, b{}, c{};
  a.it_flags = storage::item_linked | storage::item_fetched;
  for (item* it : {&a, &b, &c}) l.push_newest(*it);
  l.put_aside(a);
  l.put_aside(b);
  CHECK(order(l) == std::vector<const item*>{&c});
  CHECK(l.size() == 3);
  CHECK(l.aside.oldest == &a);
  l.put_aside(a);
  CHECK(l.aside.oldest == &b);

  std::vector<const item*> seen;
  l.for_each([&](const item& it) {
    seen.push_back(&it);
    return seen.size() < 2;
  });
  CHECK(seen == std::vector<const item*>{&c, &a});

  l.move_to_newest(a);
  CHECK(a.it_flags == (storage::item_linked | storage::item_fetched));
  CHECK(order(l) == std::vector<const item*>{&a, &c});
  l.erase(b);
  l.erase(a);
  l.erase(c);
  CHECK(l.size() == 0);
  CHECK(l.aside.oldest == nullptr);
}

TEST_CASE("lru: what is counted when an item goes") {
  lru l;
  item it{};
  it.time = 100;
  l.count_departure(it, false, 130);
  CHECK(l.counters.evicted == 1);
  CHECK(l.counters.evicted_unfetched == 1);
  CHECK(l.counters.evicted_nonzero == 0);
  CHECK(l.counters.evicted_time == 30);

  it.exptime = 1000;
  it.it_flags = storage::item_fetched;
  l.count_departure(it, false, 140);
  CHECK(l.counters.evicted == 2);
  CHECK(l.counters.evicted_unfetched == 1);
  CHECK(l.counters.evicted_nonzero == 1);
  CHECK(l.counters.evicted_time == 40);
  CHECK(l.counters.reclaimed == 0);

  l.count_departure(it, true, 1000);
  it.it_flags = 0;
  l.count_departure(it, true, 1000);
  CHECK(l.counters.reclaimed == 2);
  CHECK(l.counters.expired_unfetched == 1);
  CHECK(l.counters.evicted == 2);
}
