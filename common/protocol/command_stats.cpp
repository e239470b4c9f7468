// Summing, resetting and printing the counters of commands.
#include "common/protocol/command_stats.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace protocol {
namespace {

constexpr own_counter command_stats::*thread_counters[] = {
    &command_stats::get_cmds,     &command_stats::get_misses,    &command_stats::touch_cmds,
    &command_stats::touch_misses, &command_stats::delete_misses, &command_stats::incr_misses,
    &command_stats::decr_misses,  &command_stats::cas_misses,    &command_stats::flush_cmds,
    &command_stats::auth_cmds,    &command_stats::auth_errors,
};

struct slab_line {
  std::string_view name;
  own_counter slab_counters::*number;
};
// In the order of "stats slabs".
constexpr slab_line slab_lines[] = {
    {"get_hits", &slab_counters::get_hits},       {"cmd_set", &slab_counters::set_cmds},
    {"delete_hits", &slab_counters::delete_hits}, {"incr_hits", &slab_counters::incr_hits},
    {"decr_hits", &slab_counters::decr_hits},     {"cas_hits", &slab_counters::cas_hits},
    {"cas_badval", &slab_counters::cas_badval},   {"touch_hits", &slab_counters::touch_hits},
};

}  // namespace

void command_stats::add(const command_stats& other) noexcept {
  for (const auto number : thread_counters) (this->*number).add((other.*number).value());
  for (std::size_t i = 0; i < slabs.size(); ++i) {
    for (const auto& line : slab_lines) (slabs[i].*line.number).add((other.slabs[i].*line.number).value());
  }
}

void command_stats::reset() noexcept {
  for (const auto number : thread_counters) (this->*number).reset();
  for (auto& slab : slabs) {
    for (const auto& line : slab_lines) (slab.*line.number).reset();
  }
}

void command_stats::add_stats(const add_stat& add) const {
  const auto line = [&](std::string_view name, const own_counter& number) {
    add(name, std::to_string(number.value()));
  };
  const auto sum_line = [&](std::string_view name, own_counter slab_counters::*number) {
    std::uint64_t sum = 0;
    for (const auto& slab : slabs) sum += (slab.*number).value();
    add(name, std::to_string(sum));
  };
  line("cmd_get", get_cmds);
  sum_line("cmd_set", &slab_counters::set_cmds);
  line("cmd_flush", flush_cmds);
  line("cmd_touch", touch_cmds);
  sum_line("get_hits", &slab_counters::get_hits);
  line("get_misses", get_misses);
  line("delete_misses", delete_misses);
  sum_line("delete_hits", &slab_counters::delete_hits);
  line("incr_misses", incr_misses);
  sum_line("incr_hits", &slab_counters::incr_hits);
  line("decr_misses", decr_misses);
  sum_line("decr_hits", &slab_counters::decr_hits);
  line("cas_misses", cas_misses);
  sum_line("cas_hits", &slab_counters::cas_hits);
  sum_line("cas_badval", &slab_counters::cas_badval);
  sum_line("touch_hits", &slab_counters::touch_hits);
  line("touch_misses", touch_misses);
  line("auth_cmds", auth_cmds);
  line("auth_errors", auth_errors);
}

void command_stats::add_slab_stats(unsigned slab_class, const add_stat& add) const {
  const auto prefix = std::to_string(slab_class) + ':';
  for (const auto& line : slab_lines) {
    add(prefix + std::string(line.name), std::to_string((slabs[slab_class].*line.number).value()));
  }
}

}  // namespace protocol
