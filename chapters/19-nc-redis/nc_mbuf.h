// Bytes on their way through the proxy. They are read once, into a block, and written from there: a message is a list
// of places in blocks, and nothing is copied from one socket to the other.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "common/pool/block_pool.h"

// A place in a block. Owns: a share of the block, so that it lives until the last byte that somebody needs is sent.
struct slice {
  std::shared_ptr<char[]> block;  // none: the bytes stay where they are for ever
  std::string_view bytes;
};

// A list of slices. Most messages are one: the first has its place here.
class mbuf_chain {
 public:
  // Bytes that continue the last slice are joined to it.
  void append(const std::shared_ptr<char[]>& block, std::string_view bytes);
  // Bytes that stay where they are for ever.
  void append_literal(std::string_view bytes) { append(nullptr, bytes); }
  // Bytes of our own making.
  void append_copy(std::string_view bytes);

  [[nodiscard]] std::span<const slice> slices() const noexcept {
    return more_.empty() ? std::span(&first_, count_) : std::span<const slice>(more_);
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // It will stay for a while: what is small next to a block (of `block_size` bytes) is copied out, so that it does not
  // keep one. Views into it are of no use then. Throws std::bad_alloc.
  void settle(std::size_t block_size);

  // Gives up the bytes. The size stays.
  void let_go() noexcept;

  // From now on nothing is kept. For what nobody wants, but must be read all the same.
  void forget() noexcept;
  [[nodiscard]] bool forgotten() const noexcept { return forgotten_; }

 private:
  slice first_;
  std::vector<slice> more_;  // all of them, if there are several
  std::size_t count_ = 0;    // without more_: 0 or 1
  std::size_t size_ = 0;
  bool forgotten_ = false;
};

// What a connection has read and no message has taken yet. A block is given up when it is full; whoever holds a slice
// of it keeps it alive. Owns: a share of the block that is being filled.
class mbuf {
 public:
  explicit mbuf(block_pool& pool) noexcept : pool_(pool) {}

  [[nodiscard]] std::string_view unread() const noexcept { return {block_.bytes.get() + pos_, block_.last - pos_}; }

  // Gives the next bytes, up to `n` of them, to a message. Returns how many.
  std::size_t move_to(mbuf_chain& chain, std::size_t n);
  void skip(std::size_t n) noexcept { pos_ += n; }

  // Where the next read() may put its bytes: never empty. What is unread stays in one piece, even if that takes a new
  // and larger block; so a line can be looked at as a whole. Throws std::bad_alloc.
  [[nodiscard]] std::span<char> room();
  void filled(std::size_t n) noexcept { block_.last += n; }

  // An idle connection keeps no block.
  void give_back() noexcept;

 private:
  block_pool& pool_;
  block block_;
  std::size_t pos_ = 0;  // where the unread bytes begin
};

// Reads a chain from its front. Thread: the loop. Owns: nothing; the chain must outlive it.
class mbuf_reader {
 public:
  explicit mbuf_reader(const mbuf_chain& chain) noexcept : rest_(chain.slices()) {}

  // What comes next, up to the end of its slice. There must be something.
  [[nodiscard]] std::string_view front() const noexcept { return rest_.front().bytes.substr(used_); }

  // Shares the next `n` bytes with another chain, or with none.
  void move_to(mbuf_chain& other, std::size_t n);
  void skip(std::size_t n);

 private:
  std::span<const slice> rest_;
  std::size_t used_ = 0;  // of the first of them
};
