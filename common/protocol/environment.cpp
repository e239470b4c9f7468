// The statistics that a server can name: those of the storage, and those of whoever filled in the environment.
#include "common/protocol/environment.h"

namespace protocol {
namespace {

void add_slabs_stats(const environment& env, const add_stat& add) {
  command_stats all;
  if (env.sum_commands) {
    env.sum_commands(all);
  } else {
    all.add(env.commands);
  }
  env.store.add_slabs_stats(add, [&](unsigned slab_class) { all.add_slab_stats(slab_class, add); });
}

}  // namespace

bool add_stats_group(const environment& env, std::string_view group, const add_stat& add) {
  if (group == "items") {
    env.store.add_items_stats(add);
  } else if (group == "sizes") {
    env.store.add_sizes_stats(add);
  } else if (group == "slabs") {
    add_slabs_stats(env, add);
  } else {
    return env.process_stats && env.process_stats(group, add);
  }
  return true;
}

void reset_stats(environment& env) {
  env.commands.reset();
  env.prefixes->clear();
  env.store.reset_stats();
  if (env.process_stats) env.process_stats("reset", [](std::string_view, std::string_view) {});
}

}  // namespace protocol
