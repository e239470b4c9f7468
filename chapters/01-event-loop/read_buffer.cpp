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
  if (rsize_ > data_buffer_size) {  // grown for one long line: an idle client must not keep it
    rbuf_.reset();
    rsize_ = 0;
  }
}

std::span<char> read_buffer::room() {
  if (rcurr_ > 0) {
    std::memmove(rbuf_.get(), rbuf_.get() + rcurr_, rbytes_);
    rcurr_ = 0;
  }
  if (rbytes_ == rsize_) {
    const std::size_t larger = std::max(data_buffer_size, 2 * rsize_);
    auto moved = std::make_unique_for_overwrite<char[]>(larger);
    std::copy_n(rbuf_.get(), rbytes_, moved.get());
    rbuf_ = std::move(moved);
    rsize_ = larger;
  }
  return {rbuf_.get() + rbytes_, rsize_ - rbytes_};
}
