// The last reference to an item is gone.
#include "common/storage/item.h"

#include <mutex>

#include "common/storage/slabs.h"

namespace storage {

void item_ref::give_back(item& it, slabs& home) noexcept {
  const std::scoped_lock lock(home.mutex(it.slabs_clsid));
  home.give_back(it);
}

}  // namespace storage
