// Bytes on their way through the proxy.
#include "nc_mbuf.h"

#include <algorithm>
#include <utility>

namespace {

// Less than this part of a block is small.
constexpr std::size_t small_part = 8;

}  // namespace

std::size_t mbuf::move_to(mbuf_chain& chain, std::size_t n) {
  const std::string_view bytes = unread().substr(0, n);
  chain.append(block_.bytes, bytes);
  pos_ += bytes.size();
  return bytes.size();
}

std::span<char> mbuf::room() {
  if (block_.left() < pool_.little_room()) {
    const std::string_view left = unread();
    block next = pool_.get(left.empty() ? 1 : 2 * left.size());
    std::ranges::copy(left, next.bytes.get() + next.last);
    pos_ = next.last;
    next.last += left.size();
    block_ = std::move(next);
  }
  return {block_.bytes.get() + block_.last, block_.left()};
}

void mbuf::give_back() noexcept {
  if (!unread().empty() || block_.bytes == nullptr) return;
  pool_.put(std::exchange(block_, {}));
  pos_ = 0;
}

void mbuf_chain::append(const std::shared_ptr<char[]>& block, std::string_view bytes) {
  if (forgotten_) return;
  size_ += bytes.size();
  if (count_ == 0) {
    first_ = {block, bytes};
    count_ = 1;
    return;
  }
  slice& last = more_.empty() ? first_ : more_.back();
  if (last.block == block && last.bytes.data() + last.bytes.size() == bytes.data()) {
    last.bytes = {last.bytes.data(), last.bytes.size() + bytes.size()};
    return;
  }
  if (more_.empty()) more_.push_back(first_);
  more_.push_back({block, bytes});
}

void mbuf_chain::append_copy(std::string_view bytes) {
  const auto block = std::make_shared_for_overwrite<char[]>(bytes.size());
  std::ranges::copy(bytes, block.get());
  append(block, {block.get(), bytes.size()});
}

void mbuf_chain::settle(std::size_t block_size) {
  if (size_ >= block_size / small_part || (slices().size() == 1 && first_.block == nullptr)) return;
  const auto block = std::make_shared_for_overwrite<char[]>(size_);
  char* end = block.get();
  for (const slice& piece : slices()) end = std::ranges::copy(piece.bytes, end).out;
  more_.clear();
  first_ = {block, {block.get(), size_}};
}

void mbuf_chain::let_go() noexcept {
  more_.clear();
  first_ = {};
  count_ = 0;
}

void mbuf_chain::forget() noexcept {
  let_go();
  size_ = 0;
  forgotten_ = true;
}

void mbuf_reader::move_to(mbuf_chain& other, std::size_t n) {
  while (n > 0) {
    const slice& first = rest_.front();
    const std::string_view part = first.bytes.substr(used_, n);
    other.append(first.block, part);
    n -= part.size();
    used_ += part.size();
    if (used_ == first.bytes.size()) {
      rest_ = rest_.subspan(1);
      used_ = 0;
    }
  }
}

void mbuf_reader::skip(std::size_t n) {
  mbuf_chain nowhere;
  nowhere.forget();
  move_to(nowhere, n);
}
