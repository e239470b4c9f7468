// Making room, and giving it back.
#include "read_buffer.h"

#include <algorithm>
#include <cstring>

void read_buffer::consume(std::size_t n) noexcept {
  rcurr_ += n;
  rbytes_ -= n;
  searched_ = 0;
  if (rbytes_ > 0) return;
  rcurr_ = 0;
  if (rsize_ != next_size_) {  // grown for one long line, or too small for this client
    rbuf_.reset();
    rsize_ = 0;
  }
}

std::span<char> read_buffer::room() {
  if (rcurr_ > 0) {
    std::memmove(rbuf_.get(), rbuf_.get() + rcurr_, rbytes_);
    rcurr_ = 0;
  }
  const std::size_t larger = std::max(next_size_, rbytes_ == rsize_ ? 2 * rsize_ : rsize_);
  if (larger > rsize_) {
    auto moved = std::make_unique_for_overwrite<char[]>(larger);
    std::copy_n(rbuf_.get(), rbytes_, moved.get());
    rbuf_ = std::move(moved);
    rsize_ = larger;
  }
  return {rbuf_.get() + rbytes_, rsize_ - rbytes_};
}

void read_buffer::filled(std::size_t n) noexcept {
  rbytes_ += n;
  // A read that fills the buffer leaves more in the kernel: the next one may take twice as much. One that does not is
  // from a client that has little to say, and an idle client must not keep a large buffer.
  next_size_ = rbytes_ == rsize_ ? std::max(first_size_, std::min(2 * rsize_, largest_read)) : first_size_;
}
