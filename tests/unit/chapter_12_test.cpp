// What of a chapter cannot be seen from outside: the objects of chapter 12, which are those of its ancestors as well.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "common/settings/settings.h"
#include "server.h"

TEST_CASE("a queue is as long as memory allows, and ends without nesting") {
  conn_queue queue;
  for (int i = 0; i < 1'000'000; ++i) cq_push(queue, std::make_unique<conn_queue_item>());
  CHECK(queue.length == 1'000'000);
  for (int i = 0; i < 10; ++i) CHECK(cq_pop(queue) != nullptr);
  CHECK(queue.length == 999'990);
}

TEST_CASE("a queue that ran empty is filled again") {
  conn_queue queue;
  CHECK(cq_pop(queue) == nullptr);
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t size : {1u, 2u, 3u}) {
      auto item = cqi_new(queue);
      item->read_buffer_size = size;
      cq_push(queue, std::move(item));
      CHECK(cq_pop(queue)->read_buffer_size == size);
      CHECK(cq_pop(queue) == nullptr);
    }
  }
}

TEST_CASE("no list that grew for one command is kept, and no short one is given back") {
  const settings opts;
  server srv(opts);
  conn c(srv);
  const auto grow = [&](std::size_t n) {
    c.reply.ilist.reserve(n);
    c.reply.iov.reserve(n);
    c.reply.msglist.reserve(n);
    c.reply.suffixlist.reserve(n);
    c.reply.hdrbuf.reserve(n);
  };
  const auto capacities = [&] {
    return std::array{c.reply.ilist.capacity(), c.reply.iov.capacity(), c.reply.msglist.capacity(),
                      c.reply.suffixlist.capacity(), c.reply.hdrbuf.capacity()};
  };
  grow(100);
  conn_shrink(c);
  CHECK(capacities() == std::array<std::size_t, 5>{100, 100, 100, 100, 100});
  grow(10'000);
  conn_shrink(c);
  CHECK(capacities() == std::array<std::size_t, 5>{});
}
