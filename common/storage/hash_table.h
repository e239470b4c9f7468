// A chained hash table of items that doubles without ever stopping to do so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "common/storage/item.h"

namespace storage {

[[nodiscard]] std::uint64_t hash_of(std::string_view key) noexcept;

// While the table grows there are two arrays of buckets. Old bucket i splits into the new ones i and i + n, and every
// find() moves a few, so no operation pays for all. What has not moved yet is looked for, and put, where it was:
//
//   old  [ moved | moved | moved |  *  |  *  |  *  ]            n buckets, the first moved_ of them empty
//   new  [   *   |   *   |   *   |  ?  |  ?  |  ?  |   *   |   *   |   *   |  ?  |  ?  |  ?  ]
//
// A "?" was never written: the new array needs no zeroing, and its memory comes into being as the buckets move in.
//
// Thread: not safe by itself; the store's slice lock guards it. Owns: the buckets, not the items.
class hash_table {
 public:
  static constexpr std::size_t buckets_moved_at_once = 2;

  hash_table() noexcept = default;
  // Starts with 1 << power buckets. Throws std::bad_alloc.
  explicit hash_table(unsigned power);

  // The item of this key, or null.
  [[nodiscard]] item* find(std::string_view key, std::uint64_t hash) noexcept;
  // No item of the same key may be in the table.
  void insert(item& it, std::uint64_t hash) noexcept;
  // The item must be in the table.
  void erase(const item& it, std::uint64_t hash) noexcept;

  // More than three items for two buckets, and not growing yet.
  [[nodiscard]] bool is_crowded() const noexcept { return !is_growing() && size_ > buckets() + buckets() / 2; }
  // Doubles the table, as above. False: no memory, and the table stays as it is.
  [[nodiscard]] bool start_growing() noexcept;

  [[nodiscard]] bool is_growing() const noexcept { return old_buckets_ != nullptr; }
  [[nodiscard]] std::size_t buckets_to_move() const noexcept { return is_growing() ? old_mask_ + 1 - moved_ : 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t buckets() const noexcept { return mask_ + 1; }
  // Memory of both arrays.
  [[nodiscard]] std::size_t bytes() const noexcept;

 private:
  [[nodiscard]] item*& bucket_of(std::uint64_t hash) noexcept;
  void move_some() noexcept;

  std::unique_ptr<item*[]> buckets_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
  std::unique_ptr<item*[]> old_buckets_;  // null unless growing
  std::size_t old_mask_ = 0;
  std::size_t moved_ = 0;  // old buckets below this one are empty
};

}  // namespace storage
