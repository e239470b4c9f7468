// Numbers as the network writes them: the most significant byte first.
#pragma once

#include <cassert>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

namespace protocol {

// Takes numbers off the front of some bytes. The caller knows that there are enough of them.
class big_endian_reader {
 public:
  explicit big_endian_reader(std::string_view bytes) noexcept : bytes_(bytes) {}

  template <std::unsigned_integral number>
  [[nodiscard]] number take() noexcept {
    assert(bytes_.size() >= sizeof(number));
    number n = 0;
    for (const char byte : bytes_.substr(0, sizeof n))
      n = static_cast<number>(n << 8 | static_cast<unsigned char>(byte));
    bytes_.remove_prefix(sizeof n);
    return n;
  }

 private:
  std::string_view bytes_;
};

// Puts numbers and texts one behind the other into memory that the caller owns, and that has room for them.
class big_endian_writer {
 public:
  explicit big_endian_writer(std::span<char> room) noexcept : room_(room) {}

  template <std::unsigned_integral number>
  void put(number n) noexcept {
    assert(room_.size() - size_ >= sizeof n);
    for (std::size_t i = sizeof n; i-- > 0;) room_[size_++] = static_cast<char>(n >> (8 * i) & 0xff);
  }

  void put(std::string_view text) noexcept {
    assert(room_.size() - size_ >= text.size());
    size_ += text.copy(room_.data() + size_, text.size());
  }

  [[nodiscard]] std::string_view written() const noexcept { return {room_.data(), size_}; }

 private:
  std::span<char> room_;
  std::size_t size_ = 0;
};

}  // namespace protocol
