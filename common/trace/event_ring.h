// Events on their way from the thread that heard them to the one that writes them down: a ring of fixed size, without a
// lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "common/trace/tracer.h"

// An event with its texts, which a trace_event only points to. A text that is too long is cut, and ends in "...".
struct kept_event {
  std::uint64_t order = 0;  // among the events of all threads
  std::int64_t time = 0;    // nanoseconds of CLOCK_MONOTONIC
  std::uint64_t lost = 0;   // events of this thread, directly before this one

  void keep(const trace_event& e) noexcept {
    event_ = e;
    event_.text = copy(e.text, text_);
    event_.more = copy(e.more, more_);
  }
  // Its texts are in here: they live as long as this does, and it must not be moved.
  [[nodiscard]] const trace_event& event() const noexcept { return event_; }

 private:
  static std::string_view copy(std::string_view text, std::span<char> room) noexcept {
    constexpr std::string_view ellipsis = "...";
    const std::size_t size = text.copy(room.data(), room.size());
    if (size < text.size()) ellipsis.copy(&room[size - ellipsis.size()], ellipsis.size());
    return {room.data(), size};
  }

  trace_event event_{};
  std::array<char, 128> text_;
  std::array<char, 32> more_;  // the name of a state
};

// Thread: one producer, one consumer.
class event_ring {
 public:
  static constexpr std::size_t size = 1 << 14;

  // Thread: the producer. The next place to fill, or nullptr if that would leave fewer than `reserve` places free.
  [[nodiscard]] kept_event* place(std::size_t reserve) noexcept {
    const std::size_t taken = end_.load(std::memory_order_relaxed) - begin_.load(std::memory_order_acquire);
    return taken + reserve < size ? &(*events_)[end_.load(std::memory_order_relaxed) % size] : nullptr;
  }
  // Thread: the producer. The place is filled.
  void push() noexcept { end_.store(end_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // Thread: the consumer. nullptr: empty.
  [[nodiscard]] const kept_event* front() const noexcept {
    const std::size_t begin = begin_.load(std::memory_order_relaxed);
    return begin == end_.load(std::memory_order_acquire) ? nullptr : &(*events_)[begin % size];
  }
  void pop() noexcept { begin_.store(begin_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

 private:
  // Each index is written by one thread only, and has a cache line of its own.
  alignas(64) std::atomic<std::size_t> begin_ = 0;
  alignas(64) std::atomic<std::size_t> end_ = 0;
  std::unique_ptr<std::array<kept_event, size>> events_ = std::make_unique<std::array<kept_event, size>>();
};
