// The hash table: finding, and growing by moving a few buckets at a time.
#include "common/storage/hash_table.h"

#include <new>
#include <utility>

#define XXH_INLINE_ALL  // xxhash's own switch: the function is compiled here, for short keys a few dozen instructions
#include <xxhash.h>

namespace storage {

std::uint64_t hash_of(std::string_view key) noexcept { return XXH3_64bits(key.data(), key.size()); }

hash_table::hash_table(unsigned power)
    : buckets_(std::make_unique<item*[]>(std::size_t{1} << power)), mask_((std::size_t{1} << power) - 1) {}

item*& hash_table::bucket_of(std::uint64_t hash) noexcept {
  if (is_growing() && (hash & old_mask_) >= moved_) return old_buckets_[hash & old_mask_];
  return buckets_[hash & mask_];
}

item* hash_table::find(std::string_view key, std::uint64_t hash) noexcept {
  if (is_growing()) move_some();
  item* it = bucket_of(hash);
  while (it != nullptr && it->key() != key) it = it->h_next;
  return it;
}

void hash_table::insert(item& it, std::uint64_t hash) noexcept {
  item*& head = bucket_of(hash);
  it.h_next = head;
  head = &it;
  ++size_;
}

void hash_table::erase(const item& it, std::uint64_t hash) noexcept {
  item** link = &bucket_of(hash);
  while (*link != &it) link = &(*link)->h_next;
  *link = it.h_next;
  --size_;
}

bool hash_table::start_growing() noexcept {
  std::unique_ptr<item*[]> doubled(new (std::nothrow) item*[2 * buckets()]);
  if (doubled == nullptr) return false;
  old_buckets_ = std::exchange(buckets_, std::move(doubled));
  old_mask_ = std::exchange(mask_, 2 * mask_ + 1);
  moved_ = 0;
  return true;
}

void hash_table::move_some() noexcept {
  for (std::size_t n = 0; n < buckets_moved_at_once && moved_ <= old_mask_; ++n) {
    buckets_[moved_] = nullptr;
    buckets_[moved_ + old_mask_ + 1] = nullptr;
    item* it = old_buckets_[moved_];
    while (it != nullptr) {
      item*& head = buckets_[hash_of(it->key()) & mask_];
      item* const rest = std::exchange(it->h_next, head);
      head = std::exchange(it, rest);
    }
    ++moved_;
  }
  if (moved_ > old_mask_) old_buckets_.reset();
}

std::size_t hash_table::bytes() const noexcept {
  return (buckets() + (is_growing() ? old_mask_ + 1 : 0)) * sizeof(item*);
}

}  // namespace storage
