// What a server must have stored, by a second reading of both protocols that is slow and simple: strings and a
// std::map. Shares no code with common/: the two were written apart so that they can be wrong apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace fuzz {

// The clock of every run stands still here, in seconds since 1970: an input must mean the same whenever it is run.
inline constexpr std::int64_t now = 1'500'000'000;

// So small that inputs get beyond it.
inline constexpr std::size_t item_size_max = 1024;

inline constexpr std::size_t key_max_length = 250;

enum class verdict { done, not_stored, exists, not_found, too_large, not_a_number };

// Of a server whose memory never runs short, and which counts its cas numbers from 1.
// Thread: one; its clients come one after the other.
class contents {
 public:
  struct item {
    std::uint32_t flags;
    std::string value;
    std::uint64_t cas;
  };
  using item_map = std::map<std::string, item, std::less<>>;

  // A value, and what is to be done with it, in the words of the text protocol.
  struct update {
    std::string mode;
    std::string key;
    std::uint32_t flags = 0;
    bool expired = false;
    std::uint64_t cas = 0;  // of the item that is meant; 0: any, unless the mode is cas
    std::string value{};
  };

  [[nodiscard]] static bool fits(std::string_view key, std::uint32_t flags, std::size_t value_size);

  [[nodiscard]] const item_map& items() const noexcept { return items_; }
  // nullptr: there is none.
  [[nodiscard]] const item* find(std::string_view key) const;
  [[nodiscard]] verdict store(const update& u);
  // `result` is the new number.
  [[nodiscard]] verdict count(const std::string& key, bool up, std::uint64_t delta, std::uint64_t cas,
                              std::uint64_t& result);
  [[nodiscard]] verdict remove(const std::string& key, std::uint64_t cas);
  void flush() { items_.clear(); }
  // The number of the last item that was stored or changed.
  [[nodiscard]] std::uint64_t last_cas() const noexcept { return last_cas_; }

  // Every key that anything may have been stored under.
  [[nodiscard]] const std::set<std::string>& keys() const noexcept { return keys_; }

 private:
  void put(const update& u, std::uint32_t flags, const std::string& value);

  item_map items_;
  std::set<std::string> keys_;
  std::uint64_t last_cas_ = 0;
};

// Beyond 30 days it is a date. The clock stands still, so what has not expired now never will.
[[nodiscard]] constexpr bool has_expired(std::int64_t exptime) {
  return exptime < 0 || (exptime > 30 * 24 * 60 * 60 && exptime <= now);
}

}  // namespace fuzz
