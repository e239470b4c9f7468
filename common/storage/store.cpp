// The store: finding, storing and dropping items, under the locks that store.h orders.
#include "common/storage/store.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include "common/basics/decimal.h"

namespace storage {
namespace {

constexpr unsigned max_lock_power = 16;
constexpr std::size_t max_key = std::numeric_limits<decltype(item::nkey)>::max();
constexpr std::size_t crlf = 2;

// memcached's ITEM_UPDATE_INTERVAL: a popular item takes the lock of its class once a minute, not at every get.
constexpr unix_time use_interval = 60;

// How many items at the tail of an LRU one allocation looks at before it gives up.
constexpr std::size_t tail_tries = 50;

// Beyond 30 days a wire exptime is absolute.
constexpr std::int64_t max_relative = 30 * 24 * 60 * 60;

// Time 0 means "never" in an exptime, so the clock does not show it.
unix_time to_unix_time(std::int64_t unix_seconds) noexcept {
  return static_cast<unix_time>(std::clamp<std::int64_t>(unix_seconds, 1, std::numeric_limits<unix_time>::max()));
}

unix_time system_time() noexcept {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return to_unix_time(std::chrono::duration_cast<std::chrono::seconds>(since_1970).count());
}

const options& checked(const options& opts) {
  if (!(opts.growth_factor > 1.0)) throw std::invalid_argument("the slab growth factor must be greater than 1");
  if (opts.item_size_max < 1024 || opts.item_size_max > (128u << 20)) {
    throw std::invalid_argument("the item size limit must be between 1 KiB and 128 MiB");
  }
  if (opts.chunk_size_min == 0 || opts.chunk_size_min > opts.item_size_max) {
    throw std::invalid_argument("the smallest chunk must have room for a byte and fit the item size limit");
  }
  if (opts.hash_power == 0 || opts.hash_power > 32) throw std::invalid_argument("the hash power must be 1 to 32");
  const unsigned lock_power = opts.locks.power.value_or(0);
  if (lock_power >= opts.hash_power || lock_power > max_lock_power) {
    throw std::invalid_argument("the power of the item locks must be below the hash power, and at most 16");
  }
  return opts;
}

// A decimal number as text. Thread: a plain value.
class digits {
 public:
  explicit digits(std::uint64_t number) noexcept : end_(std::to_chars(text_, text_ + sizeof text_, number).ptr) {}
  [[nodiscard]] std::string_view text() const noexcept { return {text_, static_cast<std::size_t>(end_ - text_)}; }

 private:
  char text_[20];
  char* end_;
};

// " <flags> <bytes>\r\n". Thread: a plain value.
class suffix_line {
 public:
  suffix_line(std::uint32_t flags, std::size_t nbytes) noexcept {
    append(" ");
    append(digits(flags).text());
    append(" ");
    append(digits(nbytes - crlf).text());
    append("\r\n");
  }
  [[nodiscard]] std::string_view text() const noexcept { return {text_, size_}; }

 private:
  void append(std::string_view part) noexcept { size_ += part.copy(text_ + size_, part.size()); }

  char text_[1 + 20 + 1 + 20 + crlf];
  std::size_t size_ = 0;
};

// The number at the beginning of a value, as 1.4.25 reads it: after it there may be white space or a NUL, and then
// anything. No minus sign.
std::optional<std::uint64_t> parse_number(std::string_view value) noexcept {
  const auto number = decimal::read_number(value);
  if (!number || number->negative) return std::nullopt;
  if (!number->ends_as_a_word() && number->rest.front() != '\0') return std::nullopt;
  return number->magnitude;
}

std::uint64_t apply_delta(std::uint64_t number, bool incr, std::uint64_t delta) noexcept {
  if (incr) return number + delta;
  return number > delta ? number - delta : 0;
}

// The number, then blanks up to the item's length.
void write_number(item& it, std::string_view text) noexcept {
  const std::span<char> data = it.data();
  const auto padding = std::copy(text.begin(), text.end(), data.begin());
  std::fill(padding, data.end() - crlf, ' ');
  std::copy_n("\r\n", crlf, data.end() - crlf);
}

}  // namespace

store::store(const options& opts)
    : options_(checked(opts)),
      slabs_(options_),
      slices_(std::size_t{1} << options_.locks.power.value_or(0)),
      lrus_(slabs_.classes() + 1),
      now_(system_time()) {
  for (slice& s : slices_) {
    s.table = hash_table(options_.hash_power - options_.locks.power.value_or(0));
    if (options_.locks.power) s.mutex.turn_on();
  }
}

store::~store() = default;

// ---- time ----

// A flush that is due comes first, so that it takes what was stored before this second, and nothing of it.
void store::set_time(std::int64_t unix_seconds) noexcept {
  const unix_time now = to_unix_time(unix_seconds);
  unix_time due = flush_at_.load(std::memory_order_relaxed);
  if (due != 0 && due <= now && flush_at_.compare_exchange_strong(due, 0, std::memory_order_relaxed)) flush_now();
  now_.store(now, std::memory_order_relaxed);
}

unix_time store::expiry(std::int64_t exptime) const noexcept {
  if (exptime == 0) return 0;
  if (exptime < 0) return 1;
  return to_unix_time(exptime > max_relative ? exptime : time() + exptime);
}

void store::flush_all(unix_time when) noexcept {
  const bool later = when > time();
  flush_at_.store(later ? when : 0, std::memory_order_relaxed);
  if (!later) flush_now();
}

// Of two at once, the one that looked first may come last.
void store::flush_now() noexcept {
  flush_time_.raise(time());
  flush_cas_.raise(last_cas_.load(std::memory_order_relaxed));
}

bool store::is_expired(const item& it) const noexcept { return it.exptime != 0 && it.exptime <= time(); }

bool store::is_dead(const item& it) const noexcept {
  if (is_expired(it)) return true;
  return options_.use_cas ? it.cas <= flush_cas_.value() : it.time <= flush_time_.value();
}

// ---- the table and the LRUs ----

// The table takes the low bits of the hash for its buckets.
store::slice& store::slice_of(std::uint64_t hash) noexcept {
  return slices_[(hash >> (64 - max_lock_power)) & (slices_.size() - 1)];
}

item_ref store::reference(item& it) noexcept {
  it.refcount.fetch_add(1, std::memory_order_relaxed);
  return {&it, slabs_};
}

std::uint64_t store::next_number() noexcept {
  return options_.use_cas ? last_cas_.fetch_add(1, std::memory_order_relaxed) + 1 : 0;
}

item* store::find_live(slice& s, std::string_view key, std::uint64_t hash) noexcept {
  item* const it = s.table.find(key, hash);
  if (it == nullptr || !is_dead(*it)) return it;
  unlink(s, *it, hash);
  return nullptr;
}

void store::use(item& it) noexcept {
  it.it_flags |= item_fetched;
  const unix_time now = time();
  if (now - it.time <= use_interval) return;
  const std::scoped_lock lock(slabs_.mutex(it.slabs_clsid));
  it.time = now;
  lrus_[it.slabs_clsid].move_to_newest(it);
}

void store::link(slice& s, item* old, const item_ref& fresh, std::uint64_t hash) noexcept {
  item& it = *fresh;
  assert((it.it_flags & item_linked) == 0);
  it.refcount.fetch_add(1, std::memory_order_relaxed);
  it.it_flags = item_linked;
  it.cas = next_number();
  if (old != nullptr && old->slabs_clsid != it.slabs_clsid) unlink(s, *std::exchange(old, nullptr), hash);
  {
    const std::scoped_lock lock(slabs_.mutex(it.slabs_clsid));
    if (old != nullptr) drop(s, *old, hash);
    it.time = time();
    lrus_[it.slabs_clsid].push_newest(it);
  }
  s.table.insert(it, hash);
  if (s.table.is_crowded() && !s.table.start_growing()) malloc_fails_.fetch_add(1, std::memory_order_relaxed);
  s.bytes += it.total_size();
  ++s.total_items;
}

void store::unlink(slice& s, item& it, std::uint64_t hash) noexcept {
  const std::scoped_lock lock(slabs_.mutex(it.slabs_clsid));
  drop(s, it, hash);
}

void store::drop(slice& s, item& it, std::uint64_t hash) noexcept {
  detach(s, it, hash);
  if (it.drop_reference()) slabs_.give_back(it);
}

void store::detach(slice& s, item& it, std::uint64_t hash) noexcept {
  s.table.erase(it, hash);
  s.bytes -= it.total_size();
  lrus_[it.slabs_clsid].erase(it);
  it.it_flags &= static_cast<std::uint8_t>(~item_linked);
}

// ---- reading ----

item_ref store::get(std::string_view key) noexcept {
  const std::uint64_t hash = hash_of(key);
  slice& s = slice_of(hash);
  const std::scoped_lock lock(s.mutex);
  item* const it = find_live(s, key, hash);
  if (it == nullptr) return {};
  use(*it);
  return reference(*it);
}

item_ref store::get_and_touch(std::string_view key, unix_time exptime) noexcept {
  const std::uint64_t hash = hash_of(key);
  slice& s = slice_of(hash);
  const std::scoped_lock lock(s.mutex);
  item* const it = find_live(s, key, hash);
  if (it == nullptr) return {};
  use(*it);
  const std::scoped_lock class_lock(slabs_.mutex(it->slabs_clsid));
  it->exptime = exptime;
  return reference(*it);
}

// ---- memory ----

item_ref store::allocate(std::string_view key, std::uint32_t flags, unix_time exptime, std::size_t nbytes,
                         alloc_error& why) noexcept {
  assert(nbytes >= crlf);
  why = alloc_error::too_large;
  if (key.size() > max_key || nbytes > options_.item_size_max) return {};
  const suffix_line suffix(flags, nbytes);
  const std::size_t size = sizeof(item) + key.size() + suffix.text().size() + nbytes;
  const unsigned slab_class = slabs_.class_of(size);
  if (slab_class == 0) return {};

  why = alloc_error::out_of_memory;
  item_ref fresh = take_chunk(slab_class, size);
  if (!fresh) return {};

  item& it = *fresh;
  it.cas = 0;
  it.exptime = exptime;
  it.flags = flags;
  it.nbytes = static_cast<std::uint32_t>(nbytes);
  it.nkey = static_cast<std::uint8_t>(key.size());
  it.nsuffix = static_cast<std::uint8_t>(suffix.text().size());
  it.it_flags = 0;
  key.copy(it.payload(), key.size());
  suffix.text().copy(it.payload() + key.size(), suffix.text().size());
  why = alloc_error::none;
  return fresh;
}

item_ref store::take_chunk(unsigned slab_class, std::size_t size) noexcept {
  const std::scoped_lock lock(slabs_.mutex(slab_class));
  if (item_ref dead = take_oldest(slab_class, size, false)) return dead;
  if (item* const unused = slabs_.allocate(slab_class, size)) return {unused, slabs_};
  if (options_.evict) {
    if (item_ref evicted = take_oldest(slab_class, size, true)) return evicted;
  }
  ++lrus_[slab_class].counters.outofmemory;
  return {};
}

item_ref store::take_oldest(unsigned slab_class, std::size_t size, bool may_evict) noexcept {
  lru& l = lrus_[slab_class];
  item_ref taken;
  if (item* const first = l.aside.oldest) {
    if (take(l, *first, size, may_evict, taken) == fate::taken) return taken;
  }
  item* it = l.items.oldest;
  for (std::size_t tries = std::min(l.items.size, tail_tries); tries > 0; --tries) {
    item* const newer = it->prev;
    switch (take(l, *it, size, may_evict, taken)) {
      case fate::taken: return taken;
      case fate::alive: return {};
      case fate::unknown: break;
      case fate::held: ++l.counters.lrutail_reflocked; break;
    }
    it = newer;
  }
  return {};
}

store::fate store::take(lru& l, item& it, std::size_t size, bool may_evict, item_ref& taken) noexcept {
  // A first look without the slice: what has not expired, and was used since the last flush, is not worth more.
  const bool may_be_dead = is_expired(it) || it.time <= flush_time_.value();
  if (!may_be_dead && !may_evict) return fate::alive;

  const std::uint64_t hash = hash_of(it.key());
  slice& s = slice_of(hash);
  const std::unique_lock slice_lock(s.mutex, std::try_to_lock);
  if (!slice_lock.owns_lock()) return fate::unknown;
  const bool dead = is_dead(it);
  if (!dead && !may_evict) return fate::alive;
  if (it.refcount.load(std::memory_order_acquire) > 1) {
    l.put_aside(it);  // the next look is at another one
    return fate::held;
  }
  l.count_departure(it, dead, time());
  slabs_.reuse(it, size);
  detach(s, it, hash);
  taken = item_ref(&it, slabs_);
  return fate::taken;
}

// ---- writing ----

// With -C every number is 0, and none is anyone's.
bool store::has_number(const item& it, std::uint64_t cas) const noexcept { return options_.use_cas && it.cas == cas; }

store_result store::verdict(const item* old, store_mode mode, std::uint64_t cas) const noexcept {
  switch (mode) {
    case store_mode::set: return store_result::stored;
    case store_mode::add: return old == nullptr ? store_result::stored : store_result::not_stored;
    case store_mode::replace: return old != nullptr ? store_result::stored : store_result::not_stored;
    case store_mode::append:
    case store_mode::prepend:
      if (old == nullptr) return store_result::not_stored;
      return cas == 0 || has_number(*old, cas) ? store_result::stored : store_result::exists;
    case store_mode::cas:
      if (old == nullptr) return store_result::not_found;
      return has_number(*old, cas) ? store_result::stored : store_result::exists;
  }
  std::abort();
}

store_result store::put(const item_ref& it, store_mode mode, std::uint64_t& cas) noexcept {
  if (mode == store_mode::append || mode == store_mode::prepend) return join(it, mode, cas);
  if (cas != 0) mode = store_mode::cas;

  const std::uint64_t hash = hash_of(it->key());
  slice& s = slice_of(hash);
  const std::scoped_lock lock(s.mutex);
  item* const old = find_live(s, it->key(), hash);
  const store_result result = verdict(old, mode, cas);
  if (result == store_result::stored) {
    link(s, old, it, hash);
    cas = it->cas;
  } else if (mode == store_mode::add) {
    use(*old);  // an add that fails is a use of what is there
  }
  return result;
}

// No lock is held while the memory for the two together is found; if the old item was replaced meanwhile, once more.
store_result store::join(const item_ref& piece, store_mode mode, std::uint64_t& cas) noexcept {
  const std::uint64_t hash = hash_of(piece->key());
  slice& s = slice_of(hash);
  for (;;) {
    item_ref old;
    {
      const std::scoped_lock lock(s.mutex);
      item* const found = find_live(s, piece->key(), hash);
      const store_result result = verdict(found, mode, cas);
      if (result != store_result::stored) return result;
      old = reference(*found);
    }

    alloc_error why;
    const std::size_t nbytes = std::size_t{old->nbytes} + piece->nbytes - crlf;
    const item_ref joined = allocate(piece->key(), old->flags, 0, nbytes, why);
    if (!joined) return why == alloc_error::too_large ? store_result::too_large : store_result::out_of_memory;
    const item& first = mode == store_mode::append ? *old : *piece;
    const item& second = mode == store_mode::append ? *piece : *old;
    const std::string_view head = first.value();
    head.copy(joined->data().data(), head.size());
    second.data().copy(joined->data().data() + head.size(), second.nbytes);

    if (replace_same(old, joined, hash)) {
      cas = joined->cas;
      return store_result::stored;
    }
  }
}

// Puts `fresh` in the place of `old` and gives it its expiry, unless `old` is no longer what the table holds. The
// reference on `old` makes sure of it: nobody writes into it, and no other item can have its address.
bool store::replace_same(const item_ref& old, const item_ref& fresh, std::uint64_t hash) noexcept {
  slice& s = slice_of(hash);
  const std::scoped_lock lock(s.mutex);
  if (find_live(s, old->key(), hash) != old.get()) return false;
  fresh->exptime = old->exptime;
  link(s, old.get(), fresh, hash);
  return true;
}

// In place where the table's reference is the only one and the number fits; otherwise a new item, as in join(). The
// new item is never shorter than the old one (in 1.4.25 it may be), so that what a client reads does not depend on who
// else reads.
delta_result store::add_delta(std::string_view key, bool incr, std::uint64_t delta, std::uint64_t& cas,
                              std::uint64_t& result, unsigned& slab_class) noexcept {
  const std::uint64_t hash = hash_of(key);
  slice& s = slice_of(hash);
  for (;;) {
    item_ref old;
    {
      const std::scoped_lock lock(s.mutex);
      item* const it = find_live(s, key, hash);
      if (it == nullptr) return delta_result::not_found;
      slab_class = it->slabs_clsid;
      if (cas != 0 && !has_number(*it, cas)) return delta_result::exists;
      const std::optional<std::uint64_t> number = parse_number(it->value());
      if (!number) return delta_result::non_numeric;
      use(*it);
      result = apply_delta(*number, incr, delta);
      const digits sum(result);
      if (sum.text().size() + crlf <= it->nbytes && it->refcount.load(std::memory_order_acquire) == 1) {
        write_number(*it, sum.text());
        it->cas = cas = next_number();
        return delta_result::ok;
      }
      old = reference(*it);
    }

    alloc_error why;
    const digits sum(result);
    const std::size_t nbytes = std::max<std::size_t>(sum.text().size() + crlf, old->nbytes);
    const item_ref fresh = allocate(key, old->flags, 0, nbytes, why);
    if (!fresh) return delta_result::out_of_memory;
    write_number(*fresh, sum.text());
    if (replace_same(old, fresh, hash)) {
      cas = fresh->cas;
      return delta_result::ok;
    }
  }
}

store_result store::remove(std::string_view key, std::uint64_t cas, unsigned& slab_class) noexcept {
  const std::uint64_t hash = hash_of(key);
  slice& s = slice_of(hash);
  const std::scoped_lock lock(s.mutex);
  item* const it = find_live(s, key, hash);
  if (it == nullptr) return store_result::not_found;
  slab_class = it->slabs_clsid;
  if (cas != 0 && !has_number(*it, cas)) return store_result::exists;
  unlink(s, *it, hash);
  return store_result::stored;
}

}  // namespace storage
