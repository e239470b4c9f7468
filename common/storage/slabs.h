// Memory for items: pages cut into chunks of a few dozen sizes, so that freed memory always fits the next item of its
// size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/storage/item.h"
#include "common/storage/optional_mutex.h"
#include "common/storage/options.h"

namespace storage {

// What "stats slabs" tells of one class.
struct slab_statistics {
  std::size_t chunk_size;
  std::size_t chunks_per_page;
  std::size_t pages;
  std::size_t used_chunks;
  std::size_t free_chunks;      // given back
  std::size_t free_chunks_end;  // never used yet
  std::size_t mem_requested;    // bytes that the items in the used chunks really need
};

// Classes are numbered from 1, as memcached numbers them. Pages are taken on demand, up to the limit, and never given
// back. Thread: any; what needs the lock of a class says so. The lock is the caller's to take, because it guards the
// LRU of the class, too: whoever wants a chunk looks at the LRU first, and whoever drops an item has a chunk to give
// back. (1.4.25 has one lock for all chunks, and one for each LRU.) Owns: the pages, hence every item.
class slabs {
 public:
  // Throws std::bad_alloc.
  explicit slabs(const options& opts);

  // The class whose chunks fit this many bytes; 0: none does.
  [[nodiscard]] unsigned class_of(std::size_t size) const noexcept;
  [[nodiscard]] unsigned classes() const noexcept { return static_cast<unsigned>(chunk_sizes_.size() - 1); }
  [[nodiscard]] std::size_t chunk_size(unsigned slab_class) const noexcept { return chunk_sizes_[slab_class]; }

  // The lock of a class; after it, only that of the pages may be taken.
  [[nodiscard]] optional_mutex& mutex(unsigned slab_class) const noexcept { return classes_[slab_class].mutex; }

  // ---- Under the lock of the class ----

  // A chunk for an item of this size, with one reference, the caller's; only `slabs_clsid` and `refcount` are set.
  // Null: no chunk is free, and no page may be added or the system has none.
  [[nodiscard]] item* allocate(unsigned slab_class, std::size_t size) noexcept;
  // Takes the chunk of an item back on which nobody holds a reference.
  void give_back(item& it) noexcept;
  // The chunk of `it`, which only the caller knows, will hold an item of another size.
  void reuse(const item& it, std::size_t size) noexcept;

  // ---- Without it ----

  [[nodiscard]] slab_statistics statistics(unsigned slab_class) const noexcept;
  [[nodiscard]] std::size_t total_malloced() const noexcept;

 private:
  // Thread: all under `mutex`. Aligned, so that the locks of neighbours do not share a cache line.
  struct alignas(64) chunk_class {
    mutable optional_mutex mutex;
    std::vector<std::unique_ptr<std::byte[]>> pages;
    item* free = nullptr;  // chunks given back, linked by `next`
    std::size_t free_count = 0;
    std::byte* uncut = nullptr;  // the unused rest of the last page: its memory is not touched before it is needed
    std::size_t uncut_count = 0;
    std::size_t mem_requested = 0;
  };

  [[nodiscard]] std::size_t chunks_per_page(unsigned slab_class) const noexcept {
    return page_size_ / chunk_sizes_[slab_class];
  }
  [[nodiscard]] bool add_page(unsigned slab_class) noexcept;

  const std::size_t memory_limit_;
  const std::size_t page_size_;
  const std::vector<std::size_t> chunk_sizes_;  // by class; [0] is 0, the class that does not exist
  std::vector<chunk_class> classes_;            // by class; [0] is unused

  mutable optional_mutex pages_mutex_;  // guards what follows
  std::size_t total_malloced_ = 0;
};

}  // namespace storage
