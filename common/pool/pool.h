// Objects that come and go all the time: their memory is used again instead of being given back. And shares of them:
// who lets go last gives the object to its pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

template <typename T>
class pool;
template <typename T>
class share;

// What a T is derived from: it counts its shares, and knows where its memory belongs.
template <typename T>
class pooled {
 protected:
  pooled() = default;
  ~pooled() = default;
  pooled(const pooled&) = delete;
  pooled& operator=(const pooled&) = delete;

 private:
  friend pool<T>;
  friend share<T>;
  pool<T>* home_ = nullptr;
  std::size_t shares_ = 0;
};

// As std::shared_ptr, for one thread: nothing is atomic. T may be incomplete until a share of it is copied or ends.
template <typename T>
class share {
 public:
  share() noexcept = default;
  share(std::nullptr_t) noexcept {}
  share(const share& other) noexcept : share(other.object_) {}
  share(share&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  share& operator=(share other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~share() {
    if (object_ != nullptr && --object_->pooled<T>::shares_ == 0) object_->pooled<T>::home_->put(object_);
  }

  [[nodiscard]] T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  friend pool<T>;
  explicit share(T* object) noexcept : object_(object) {
    if (object_ != nullptr) ++object_->pooled<T>::shares_;
  }

  T* object_ = nullptr;
};

// Thread: one. Owns: the memory of the objects that are gone. It must outlive every object that it has made.
template <typename T>
class pool {
 public:
  // Keeps the memory of at most so many.
  explicit pool(std::size_t most) { free_.reserve(most); }
  ~pool() {
    for (T* const memory : free_) allocator_.deallocate(memory, 1);
  }
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  // A new object. Its constructor must not throw. Throws std::bad_alloc.
  template <typename... Arguments>
  [[nodiscard]] share<T> make(Arguments&&... arguments) {
    T* memory = nullptr;
    if (free_.empty()) {
      memory = allocator_.allocate(1);
    } else {
      memory = free_.back();
      free_.pop_back();
    }
    T* const object = std::construct_at(memory, std::forward<Arguments>(arguments)...);
    object->pooled<T>::home_ = this;
    return share<T>(object);
  }

 private:
  friend share<T>;

  void put(T* object) noexcept {
    std::destroy_at(object);
    if (free_.size() < free_.capacity()) {
      free_.push_back(object);
    } else {
      allocator_.deallocate(object, 1);
    }
  }

  std::allocator<T> allocator_;
  std::vector<T*> free_;
};
