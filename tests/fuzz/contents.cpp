// What is stored, and what becomes of it.
#include "tests/fuzz/contents.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

namespace fuzz {
namespace {

constexpr std::size_t item_header = 56;  // of a stored item, before its key

// The number at the beginning of a value, as strtoull reads it: after it comes the end, or white space and then
// whatever. But no minus sign.
std::optional<std::uint64_t> counter_value(const std::string& value) {
  const std::size_t begin = value.find_first_not_of(" \t\n\v\f\r");
  if (begin == std::string::npos || value[begin] == '-') return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const unsigned long long number = std::strtoull(value.c_str(), &end, 10);
  const bool ends_well = *end == '\0' || std::isspace(static_cast<unsigned char>(*end)) != 0;
  if (errno == ERANGE || end == value.c_str() || !ends_well) return std::nullopt;
  return number;
}

}  // namespace

bool contents::fits(std::string_view key, std::uint32_t flags, std::size_t value_size) {
  const std::string suffix = " " + std::to_string(flags) + " " + std::to_string(value_size) + "\r\n";
  return item_header + key.size() + suffix.size() + value_size + std::string_view("\r\n").size() <= item_size_max;
}

const contents::item* contents::find(std::string_view key) const {
  const auto found = items_.find(key);
  return found == items_.end() ? nullptr : &found->second;
}

verdict contents::store(const update& u) {
  const item* const old = find(u.key);
  if (u.mode == "append" || u.mode == "prepend") {
    if (old == nullptr) return verdict::not_stored;
    if (u.cas != 0 && u.cas != old->cas) return verdict::exists;
    const std::string joined = u.mode == "append" ? old->value + u.value : u.value + old->value;
    if (!fits(u.key, old->flags, joined.size())) return verdict::too_large;
    put({.mode = u.mode, .key = u.key}, old->flags, joined);
    return verdict::done;
  }
  if (u.mode == "cas" || u.cas != 0) {
    if (old == nullptr) return verdict::not_found;
    if (old->cas != u.cas) return verdict::exists;
  } else {
    if (u.mode == "add" && old != nullptr) return verdict::not_stored;
    if (u.mode == "replace" && old == nullptr) return verdict::not_stored;
  }
  put(u, u.flags, u.value);
  return verdict::done;
}

void contents::put(const update& u, std::uint32_t flags, const std::string& value) {
  ++last_cas_;
  keys_.insert(u.key);
  if (u.expired) {
    items_.erase(u.key);
  } else {
    items_.insert_or_assign(u.key, item{flags, value, last_cas_});
  }
}

// The new number takes as many bytes as the old one, or more: blanks make up for what it lacks.
verdict contents::count(const std::string& key, bool up, std::uint64_t delta, std::uint64_t cas,
                        std::uint64_t& result) {
  const auto found = items_.find(key);
  if (found == items_.end()) return verdict::not_found;
  item& it = found->second;
  if (cas != 0 && cas != it.cas) return verdict::exists;
  const auto number = counter_value(it.value);
  if (!number) return verdict::not_a_number;
  const std::uint64_t lower = *number < delta ? 0 : *number - delta;
  result = up ? *number + delta : lower;
  const std::string digits = std::to_string(result);
  it.value = digits + std::string(it.value.size() - std::min(it.value.size(), digits.size()), ' ');
  it.cas = ++last_cas_;
  return verdict::done;
}

verdict contents::remove(const std::string& key, std::uint64_t cas) {
  const item* const old = find(key);
  if (old == nullptr) return verdict::not_found;
  if (cas != 0 && cas != old->cas) return verdict::exists;
  items_.erase(key);
  return verdict::done;
}

}  // namespace fuzz
