// Slab classes and their pages.
#include "common/storage/slabs.h"

#include <algorithm>
#include <new>
#include <utility>

namespace storage {
namespace {

constexpr std::size_t max_classes = 63;
constexpr std::size_t chunk_alignment = 8;

// memcached's header without the cas number. Ours always has one, but the ladder starts from here, so that its steps
// are the well-known 96, 120, 152, 192, 240, … of 1.4.25.
constexpr std::size_t base_header = sizeof(item) - sizeof(item::cas);

static_assert(base_header == 48);
static_assert(sizeof(item) % chunk_alignment == 0 && alignof(item) <= chunk_alignment);

std::vector<std::size_t> chunk_sizes(const options& opts) {
  std::vector<std::size_t> sizes{0};
  const double last_but_one = static_cast<double>(opts.item_size_max) / opts.growth_factor;
  std::size_t size = base_header + opts.chunk_size_min;
  while (sizes.size() < max_classes && static_cast<double>(size) <= last_but_one) {
    size = (size + chunk_alignment - 1) / chunk_alignment * chunk_alignment;
    if (size >= opts.item_size_max) break;
    sizes.push_back(size);
    // At least one step of the alignment: with a tiny factor, 1.4.25 makes many classes of the same size.
    size = std::max(size + 1, static_cast<std::size_t>(static_cast<double>(size) * opts.growth_factor));
  }
  sizes.push_back(opts.item_size_max);
  return sizes;
}

}  // namespace

slabs::slabs(const options& opts)
    : memory_limit_(opts.memory_limit),
      page_size_(opts.item_size_max),
      chunk_sizes_(chunk_sizes(opts)),
      classes_(chunk_sizes_.size()) {
  if (!opts.locks.power) return;
  for (chunk_class& c : classes_) c.mutex.turn_on();
  pages_mutex_.turn_on();
}

unsigned slabs::class_of(std::size_t size) const noexcept {
  const auto fits = std::lower_bound(chunk_sizes_.begin() + 1, chunk_sizes_.end(), size);
  return fits == chunk_sizes_.end() ? 0 : static_cast<unsigned>(fits - chunk_sizes_.begin());
}

item* slabs::allocate(unsigned slab_class, std::size_t size) noexcept {
  chunk_class& c = classes_[slab_class];
  if (c.free == nullptr && c.uncut_count == 0 && !add_page(slab_class)) return nullptr;

  item* it;
  if (c.free != nullptr) {
    it = std::exchange(c.free, c.free->next);
    --c.free_count;
  } else {
    it = ::new (std::exchange(c.uncut, c.uncut + chunk_sizes_[slab_class])) item{};
    --c.uncut_count;
  }
  c.mem_requested += size;
  it->slabs_clsid = static_cast<std::uint8_t>(slab_class);
  it->refcount.store(1, std::memory_order_relaxed);
  return it;
}

// Under the lock of the class. The first page of a class is always granted, as 1.4.25 does: otherwise sizes that come
// late could never be stored.
bool slabs::add_page(unsigned slab_class) noexcept {
  chunk_class& c = classes_[slab_class];
  const std::size_t bytes = chunk_sizes_[slab_class] * chunks_per_page(slab_class);
  const std::scoped_lock lock(pages_mutex_);
  if (memory_limit_ != 0 && total_malloced_ + bytes > memory_limit_ && !c.pages.empty()) return false;
  try {
    c.pages.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes));
  } catch (const std::bad_alloc&) {
    return false;
  }
  c.uncut = c.pages.back().get();
  c.uncut_count = chunks_per_page(slab_class);
  total_malloced_ += bytes;
  return true;
}

void slabs::give_back(item& it) noexcept {
  chunk_class& c = classes_[it.slabs_clsid];
  c.mem_requested -= it.total_size();
  it.next = std::exchange(c.free, &it);
  ++c.free_count;
}

void slabs::reuse(const item& it, std::size_t size) noexcept {
  classes_[it.slabs_clsid].mem_requested += size - it.total_size();
}

slab_statistics slabs::statistics(unsigned slab_class) const noexcept {
  const chunk_class& c = classes_[slab_class];
  const std::scoped_lock lock(c.mutex);
  const std::size_t unused = c.free_count + c.uncut_count;
  return {.chunk_size = chunk_sizes_[slab_class],
          .chunks_per_page = chunks_per_page(slab_class),
          .pages = c.pages.size(),
          .used_chunks = c.pages.size() * chunks_per_page(slab_class) - unused,
          .free_chunks = c.free_count,
          .free_chunks_end = c.uncut_count,
          .mem_requested = c.mem_requested};
}

std::size_t slabs::total_malloced() const noexcept {
  const std::scoped_lock lock(pages_mutex_);
  return total_malloced_;
}

}  // namespace storage
