// Blocks of memory to read into, used again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

// A block, of which the first `last` bytes are filled.
struct block {
  std::shared_ptr<char[]> bytes;
  std::size_t size = 0;
  std::size_t last = 0;

  [[nodiscard]] std::size_t left() const noexcept { return size - last; }
};

// Blocks into which nobody reads at the moment. The next one to read goes on where the last one has stopped: so the
// messages of a quiet hour, which are small, share a block. Thread: the loop. Owns: a share of each.
class block_pool {
 public:
  // `size`: of a block, in bytes.
  explicit block_pool(std::size_t size) : size_(size) { spare_.reserve(most_spare); }

  [[nodiscard]] std::size_t block_size() const noexcept { return size_; }

  // With room for at least so many bytes. Throws std::bad_alloc.
  [[nodiscard]] block get(std::size_t least) {
    if (!spare_.empty() && spare_.back().left() >= least) {
      block found = std::move(spare_.back());
      spare_.pop_back();
      return found;
    }
    const std::size_t size = std::max(size_, least);
    return {std::make_shared_for_overwrite<char[]>(size), size};
  }

  // Keeps it for whoever reads next, if there is room worth a read.
  void put(block b) noexcept {
    // Nobody else holds a share: then nobody can see its bytes.
    if (b.bytes.use_count() == 1) b.last = 0;
    if (b.size == size_ && b.left() >= little_room() && spare_.size() < spare_.capacity())
      spare_.push_back(std::move(b));
  }

  // With less than this left a block is full: reads would become short, and with them the system calls many.
  [[nodiscard]] std::size_t little_room() const noexcept { return std::max(size_ / 8, std::size_t{1}); }

 private:
  static constexpr std::size_t most_spare = 16;

  std::size_t size_;
  std::vector<block> spare_;
};
