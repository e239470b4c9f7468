// Dropping a reference to an item.
#include "common/storage/item.h"

#include "common/storage/slabs.h"

namespace storage {

// Release: what this holder read or wrote is over before anyone finds the count lower. Acquire: the last holder sees
// that it is over for all the others before the chunk gets a new tenant.
void item_ref::release(item& it, slabs& home) noexcept {
  if (it.refcount.fetch_sub(1, std::memory_order_acq_rel) == 1) home.give_back(it);
}

}  // namespace storage
