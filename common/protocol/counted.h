// The operations of the store as the commands of both protocols perform them: counted.
//
// Thread: that of the environment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tuple>

#include "common/protocol/environment.h"
#include "common/storage/store.h"

namespace protocol::counted {

[[nodiscard]] inline storage::item_ref get(environment& env, std::string_view key) noexcept {
  auto it = env.store.get(key);
  env.commands.get_cmds.add();
  if (env.prefixes->on()) env.prefixes->record_get(key, static_cast<bool>(it));
  own_counter& met = it ? env.commands.slabs[it->slabs_clsid].get_hits : env.commands.get_misses;
  met.add();
  return it;
}

[[nodiscard]] inline storage::item_ref get_and_touch(environment& env, std::string_view key,
                                                     std::int64_t exptime) noexcept {
  auto it = env.store.get_and_touch(key, env.store.expiry(exptime));
  env.commands.touch_cmds.add();
  own_counter& met = it ? env.commands.slabs[it->slabs_clsid].touch_hits : env.commands.touch_misses;
  met.add();
  return it;
}

// For a value on its way that will be stored with `mode`; nbytes counts its \r\n.
[[nodiscard]] inline storage::item_ref allocate(environment& env, storage::store_mode mode, std::string_view key,
                                                std::uint32_t flags, std::int64_t exptime, std::size_t nbytes,
                                                storage::alloc_error& why) noexcept {
  if (env.prefixes->on()) env.prefixes->record_set(key);
  auto it = env.store.allocate(key, flags, env.store.expiry(exptime), nbytes, why);
  if (!it && mode == storage::store_mode::set) {
    // Better no value than the old one that the client believes replaced.
    unsigned slab_class = 0;
    std::ignore = env.store.remove(key, 0, slab_class);
  }
  return it;
}

// Stores a value that has arrived. It was counted as a set when it came, whatever becomes of it.
[[nodiscard]] inline storage::store_result put(environment& env, const storage::item_ref& it, storage::store_mode mode,
                                               std::uint64_t& cas) noexcept {
  using enum storage::store_result;
  const auto result = env.store.put(it, mode, cas);
  if (mode != storage::store_mode::cas) return result;
  auto& slab = env.commands.slabs[it->slabs_clsid];
  if (result == stored) slab.cas_hits.add();
  if (result == exists) slab.cas_badval.add();
  if (result == not_found) env.commands.cas_misses.add();
  return result;
}

// A miss is for the caller to count: the binary protocol may create the number instead.
[[nodiscard]] inline storage::delta_result add_delta(environment& env, std::string_view key, bool incr,
                                                     std::uint64_t delta, std::uint64_t& cas,
                                                     std::uint64_t& result) noexcept {
  unsigned slab_class = 0;
  const auto what = env.store.add_delta(key, incr, delta, cas, result, slab_class);
  if (what != storage::delta_result::ok) return what;
  auto& slab = env.commands.slabs[slab_class];
  own_counter& hits = incr ? slab.incr_hits : slab.decr_hits;
  hits.add();
  return what;
}

inline void delta_miss(environment& env, bool incr) noexcept {
  own_counter& misses = incr ? env.commands.incr_misses : env.commands.decr_misses;
  misses.add();
}

[[nodiscard]] inline storage::store_result remove(environment& env, std::string_view key, std::uint64_t cas) noexcept {
  if (env.prefixes->on()) env.prefixes->record_delete(key);
  unsigned slab_class = 0;
  const auto result = env.store.remove(key, cas, slab_class);
  if (result == storage::store_result::stored) env.commands.slabs[slab_class].delete_hits.add();
  if (result == storage::store_result::not_found) env.commands.delete_misses.add();
  return result;
}

}  // namespace protocol::counted
