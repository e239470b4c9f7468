// One stored object: a fixed header, then key, suffix and value in the same slab chunk.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace storage {

class slabs;

// Seconds since 1970 in 32 bits (good until 2106); 0 means "never" where it is an expiry.
using unix_time = std::uint32_t;

// Layout behind the header: key, then " <flags> <bytes>\r\n", then the value with its own "\r\n". The three stand in
// the order in which a reply sends them, so everything after the word VALUE is one run of memory.
//
// Thread: `h_next`, `cas` and `it_flags` belong to the lock of the item's hash slice, `next` and `prev` to that of its
// slab class; `time` and `exptime` are written under both, so that either is enough to read them; `refcount` is
// everybody's. What a reply needs (key, suffix, value, flags, cas) never changes while anyone but the table holds a
// reference.
struct item {
  item* next;    // towards older in its class's LRU; links the free chunks of a class too
  item* prev;    // towards newer
  item* h_next;  // hash chain
  std::uint64_t cas;
  unix_time time;     // last use, to the minute
  unix_time exptime;  // 0: never
  std::uint32_t flags;
  std::uint32_t nbytes;                 // value and its \r\n
  std::atomic<std::uint32_t> refcount;  // the table counts as one
  std::uint8_t nkey;
  std::uint8_t nsuffix;
  std::uint8_t slabs_clsid;
  std::uint8_t it_flags;  // item_flags

  [[nodiscard]] char* payload() noexcept { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] const char* payload() const noexcept { return reinterpret_cast<const char*>(this + 1); }

  [[nodiscard]] std::string_view key() const noexcept { return {payload(), nkey}; }
  // " <flags> <bytes>\r\n"
  [[nodiscard]] std::string_view suffix() const noexcept { return {payload() + nkey, nsuffix}; }
  // "<key> <flags> <bytes>\r\n": what follows "VALUE " in a reply.
  [[nodiscard]] std::string_view key_and_suffix() const noexcept { return {payload(), std::size_t{nkey} + nsuffix}; }
  // "<key> <flags> <bytes>\r\n<value>\r\n": all that follows "VALUE " in a reply.
  [[nodiscard]] std::string_view key_suffix_and_data() const noexcept {
    return {payload(), std::size_t{nkey} + nsuffix + nbytes};
  }
  // The value with its final \r\n.
  [[nodiscard]] std::string_view data() const noexcept { return {payload() + nkey + nsuffix, nbytes}; }
  [[nodiscard]] std::span<char> data() noexcept { return {payload() + nkey + nsuffix, nbytes}; }
  // The value alone.
  [[nodiscard]] std::string_view value() const noexcept { return data().substr(0, nbytes - 2); }

  // True: nobody holds a reference any more, and the caller gives the chunk back.
  // Release: what this holder read or wrote is over before anyone finds the count lower. Acquire: the last holder sees
  // that it is over for all the others before the chunk gets a new tenant.
  [[nodiscard]] bool drop_reference() noexcept { return refcount.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  [[nodiscard]] std::size_t total_size() const noexcept { return sizeof(item) + nkey + nsuffix + nbytes; }
};

enum item_flags : std::uint8_t {
  item_linked = 1,   // in the hash table and the LRU
  item_fetched = 2,  // read at least once since it was stored
  item_aside = 4,    // in the LRU's list of those that wait until nobody holds them
};

// A counted reference: while one lives, the chunk is neither freed nor rewritten, even if the key was deleted or
// evicted meanwhile. Must not outlive the store. Move-only. Thread: a reference has one holder; references of several
// threads to the same item are independent. It must not die while its holder has the lock of the item's class, which
// the chunk needs to go back. Owns: one count.
class item_ref {
 public:
  item_ref() noexcept = default;
  // Takes over a count that the caller already added. The slabs get the chunk back when the last count goes.
  item_ref(item* it, slabs& home) noexcept : item_(it), home_(&home) {}
  item_ref(item_ref&& other) noexcept : item_(std::exchange(other.item_, nullptr)), home_(other.home_) {}
  item_ref& operator=(item_ref&& other) noexcept {
    if (this != &other) {
      reset();
      item_ = std::exchange(other.item_, nullptr);
      home_ = other.home_;
    }
    return *this;
  }
  ~item_ref() { reset(); }

  void reset() noexcept {
    item* const it = std::exchange(item_, nullptr);
    if (it != nullptr && it->drop_reference()) give_back(*it, *home_);
  }
  // Adds a count to an item on which the caller already holds one.
  [[nodiscard]] item_ref share() const noexcept {
    item_->refcount.fetch_add(1, std::memory_order_relaxed);
    return {item_, *home_};
  }

  [[nodiscard]] item* get() const noexcept { return item_; }
  [[nodiscard]] item& operator*() const noexcept { return *item_; }
  [[nodiscard]] item* operator->() const noexcept { return item_; }
  [[nodiscard]] explicit operator bool() const noexcept { return item_ != nullptr; }

 private:
  static void give_back(item& it, slabs& home) noexcept;

  item* item_ = nullptr;
  slabs* home_ = nullptr;
};

}  // namespace storage
