// The bytes of a client that have been read and not been used yet.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

// The size of both buffers when a connection starts, in bytes.
inline constexpr std::size_t data_buffer_size = 2048;

// What the client has sent and the machine has not used yet. Owns: its memory.
class read_buffer {
 public:
  [[nodiscard]] std::string_view unread() const noexcept { return {rbuf_.get() + rcurr_, rbytes_}; }
  void consume(std::size_t n) noexcept;

  // Where the next read() may put its bytes: never empty. Doubles the buffer if it is full. Throws std::bad_alloc.
  [[nodiscard]] std::span<char> room();
  void filled(std::size_t n) noexcept { rbytes_ += n; }

  // Somebody will now search all unread bytes for a line end. How many of them were searched before.
  [[nodiscard]] std::size_t begin_search() noexcept { return std::exchange(searched_, rbytes_); }

 private:
  std::unique_ptr<char[]> rbuf_;
  std::size_t rsize_ = 0;
  std::size_t rcurr_ = 0;   // where the unread bytes begin
  std::size_t rbytes_ = 0;  // how many they are
  std::size_t searched_ = 0;
};
