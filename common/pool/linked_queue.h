// A queue without nodes of its own: what it holds is linked by a member, T::next[link]. So nothing is allocated, and
// nothing can fail. An object may be in as many queues at a time as it has links.
#pragma once

#include <cstddef>
#include <utility>

#include "common/pool/pool.h"

// Thread: one. Owns: a share of each object that is in it.
template <typename T>
class linked_queue {
 public:
  explicit linked_queue(std::size_t link) noexcept : link_(link) {}
  // One after the other: were each to end the next one, the stack would be as deep as the queue is long.
  ~linked_queue() {
    while (!empty()) pop();
  }
  linked_queue(const linked_queue&) = delete;
  linked_queue& operator=(const linked_queue&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_.get() == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // nullptr: there is none.
  [[nodiscard]] T* front() const noexcept { return first_.get(); }
  [[nodiscard]] share<T> front_share() const noexcept { return first_; }
  [[nodiscard]] T* after(const T& object) const noexcept { return object.next[link_].get(); }

  void push(share<T> object) noexcept {
    share<T>& end = last_ == nullptr ? first_ : last_->next[link_];
    last_ = object.get();
    end = std::move(object);
    ++size_;
  }

  // The first one. There must be one.
  share<T> pop() noexcept {
    share<T> object = std::move(first_);
    first_ = std::move(object->next[link_]);
    if (empty()) last_ = nullptr;
    --size_;
    return object;
  }

 private:
  share<T> first_;
  T* last_ = nullptr;
  std::size_t size_ = 0;
  std::size_t link_;
};
