// Bytes on their way through the proxy.
#include "nc_mbuf.h"

#include <algorithm>
#include <utility>

namespace {

// With less than this part of it left a block is full: reads would become short, and with them the system calls many.
constexpr std::size_t little_room = 8;

}  // namespace

std::size_t mbuf::move_to(mbuf_chain& chain, std::size_t n) {
  const std::string_view bytes = unread().substr(0, n);
  chain.append(block_, bytes);
  pos_ += bytes.size();
  return bytes.size();
}

std::span<char> mbuf::room() {
  const std::string_view left = unread();
  // Nobody else holds a share: then nobody can see its bytes.
  if (left.empty() && block_.use_count() == 1) pos_ = last_ = 0;
  if (size_ - last_ < std::max(mbuf_size_ / little_room, std::size_t{1})) {
    const std::size_t size = std::max(mbuf_size_, 2 * left.size());
    auto larger = std::make_shared_for_overwrite<char[]>(size);
    std::ranges::copy(left, larger.get());
    block_ = std::move(larger);
    size_ = size;
    pos_ = 0;
    last_ = left.size();
  }
  return {block_.get() + last_, size_ - last_};
}

void mbuf::give_back() noexcept {
  if (!unread().empty()) return;
  block_.reset();
  size_ = pos_ = last_ = 0;
}

void mbuf_chain::append(const std::shared_ptr<char[]>& block, std::string_view bytes) {
  if (forgotten_) return;
  size_ += bytes.size();
  if (!slices_.empty()) {
    slice& last = slices_.back();
    if (last.block == block && last.bytes.data() + last.bytes.size() == bytes.data()) {
      last.bytes = {last.bytes.data(), last.bytes.size() + bytes.size()};
      return;
    }
  }
  slices_.push_back({block, bytes});
}

void mbuf_chain::append_copy(std::string_view bytes) {
  const auto block = std::make_shared_for_overwrite<char[]>(bytes.size());
  std::ranges::copy(bytes, block.get());
  append(block, {block.get(), bytes.size()});
}

void mbuf_chain::forget() noexcept {
  slices_.clear();
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
