// common/protocol/command_stats.h: sums, order of lines, reset.
#include "common/protocol/command_stats.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using protocol::command_stats;

namespace {

std::string printed(const command_stats& stats) {
  std::string text;
  stats.add_stats(
      [&](std::string_view name, std::string_view value) { (text += name) += '=', (text += value) += ' '; });
  return text;
}

std::string printed(const command_stats& stats, unsigned slab_class) {
  std::string text;
  stats.add_slab_stats(slab_class, [&](std::string_view name, std::string_view value) {
    (text += name) += '=', (text += value) += ' ';
  });
  return text;
}

// A different number in every counter.
void fill(command_stats& stats) {
  stats.get_cmds.add(1);
  stats.get_misses.add(2);
  stats.touch_cmds.add(3);
  stats.touch_misses.add(4);
  stats.delete_misses.add(5);
  stats.incr_misses.add(6);
  stats.decr_misses.add(7);
  stats.cas_misses.add(8);
  stats.flush_cmds.add(9);
  stats.auth_cmds.add(10);
  stats.auth_errors.add(11);
  auto& slab = stats.slabs[255];
  slab.set_cmds.add(12);
  slab.get_hits.add(13);
  slab.touch_hits.add(14);
  slab.delete_hits.add(15);
  slab.cas_hits.add(16);
  slab.cas_badval.add(17);
  slab.incr_hits.add(18);
  slab.decr_hits.add(19);
}

const std::string zeros =
    "cmd_get=0 cmd_set=0 cmd_flush=0 cmd_touch=0 get_hits=0 get_misses=0 delete_misses=0 delete_hits=0 incr_misses=0 "
    "incr_hits=0 decr_misses=0 decr_hits=0 cas_misses=0 cas_hits=0 cas_badval=0 touch_hits=0 touch_misses=0 "
    "auth_cmds=0 "
    "auth_errors=0 ";

}  // namespace

TEST_CASE("counters are printed in memcached's order, hits summed over the slab classes") {
  command_stats stats;
  CHECK(printed(stats) == zeros);
  fill(stats);
  stats.slabs[1].get_hits.add(100);
  stats.slabs[1].set_cmds.add(100);
  CHECK(printed(stats) ==
        "cmd_get=1 cmd_set=112 cmd_flush=9 cmd_touch=3 get_hits=113 get_misses=2 delete_misses=5 delete_hits=15 "
        "incr_misses=6 incr_hits=18 decr_misses=7 decr_hits=19 cas_misses=8 cas_hits=16 cas_badval=17 touch_hits=14 "
        "touch_misses=4 auth_cmds=10 auth_errors=11 ");
}

TEST_CASE("a slab class prints its own counters in the order of \"stats slabs\"") {
  command_stats stats;
  fill(stats);
  CHECK(printed(stats, 255) ==
        "255:get_hits=13 255:cmd_set=12 255:delete_hits=15 255:incr_hits=18 255:decr_hits=19 255:cas_hits=16 "
        "255:cas_badval=17 255:touch_hits=14 ");
  CHECK(printed(stats, 1) ==
        "1:get_hits=0 1:cmd_set=0 1:delete_hits=0 1:incr_hits=0 1:decr_hits=0 1:cas_hits=0 1:cas_badval=0 "
        "1:touch_hits=0 ");
}

TEST_CASE("the statistics of several threads add up, and reset sets all to zero") {
  command_stats one;
  command_stats other;
  fill(one);
  fill(other);
  command_stats sum;
  sum.add(one);
  sum.add(other);
  CHECK(printed(sum) ==
        "cmd_get=2 cmd_set=24 cmd_flush=18 cmd_touch=6 get_hits=26 get_misses=4 delete_misses=10 delete_hits=30 "
        "incr_misses=12 incr_hits=36 decr_misses=14 decr_hits=38 cas_misses=16 cas_hits=32 cas_badval=34 touch_hits=28 "
        "touch_misses=8 auth_cmds=20 auth_errors=22 ");
  sum.reset();
  CHECK(printed(sum) == zeros);
  CHECK(printed(one) != zeros);
}
