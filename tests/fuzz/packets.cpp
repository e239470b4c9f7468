// The commands of the binary protocol as the model understands them.
#include "tests/fuzz/packets.h"

#include <cstdlib>
#include <tuple>
#include <utility>

namespace fuzz {
namespace {

constexpr std::uint64_t do_not_create = 0xffffffff;

// protocol-binary.txt, "Response Status".
constexpr unsigned not_found = 0x01;
constexpr unsigned exists = 0x02;
constexpr unsigned too_large = 0x03;
constexpr unsigned invalid = 0x04;
constexpr unsigned not_stored = 0x05;
constexpr unsigned not_a_number = 0x06;
constexpr unsigned unknown = 0x81;

const std::map<unsigned, std::string>& texts() {
  static const std::map<unsigned, std::string> table{
      {not_found, "Not found"},     {exists, "Data exists for key."},
      {too_large, "Too large."},    {invalid, "Invalid arguments"},
      {not_stored, "Not stored."},  {not_a_number, "Non-numeric server-side value for incr or decr"},
      {unknown, "Unknown command"},
  };
  return table;
}

std::uint64_t number(std::string_view bytes) {
  std::uint64_t n = 0;
  for (const char byte : bytes) n = n * 256 + static_cast<unsigned char>(byte);
  return n;
}

std::string big_endian(std::uint64_t n, std::size_t size) {
  std::string bytes(size, '\0');
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte, n /= 256) *byte = static_cast<char>(n % 256);
  return bytes;
}

std::string question(unsigned opcode, std::string_view opaque, std::string_view key) {
  return big_endian(0x80, 1) + big_endian(opcode, 1) + big_endian(key.size(), 2) + big_endian(0, 4) +
         big_endian(key.size(), 4) + std::string(opaque) + big_endian(0, 8) + std::string(key);
}

}  // namespace

const std::map<unsigned, packets::command>& packets::commands() {
  using enum presence;
  static const std::map<unsigned, command> table{
      {0x00, {&packets::get, "get", false, 0, none, one, none}},
      {0x09, {&packets::get, "get", true, 0, none, one, none}},
      {0x0c, {&packets::get, "getk", false, 0, none, one, none}},
      {0x0d, {&packets::get, "getk", true, 0, none, one, none}},
      {0x1c, {&packets::touch, "touch", false, 4, one, one, none}},
      {0x1d, {&packets::touch, "gat", false, 4, one, one, none}},
      {0x1e, {&packets::touch, "gat", true, 4, one, one, none}},
      {0x23, {&packets::touch, "gatk", false, 4, one, one, none}},
      {0x24, {&packets::touch, "gatk", true, 4, one, one, none}},
      {0x01, {&packets::update, "set", false, 8, one, one, maybe}},
      {0x11, {&packets::update, "set", true, 8, one, one, maybe}},
      {0x02, {&packets::update, "add", false, 8, one, one, maybe}},
      {0x12, {&packets::update, "add", true, 8, one, one, maybe}},
      {0x03, {&packets::update, "replace", false, 8, one, one, maybe}},
      {0x13, {&packets::update, "replace", true, 8, one, one, maybe}},
      {0x0e, {&packets::update, "append", false, 0, none, one, maybe}},
      {0x19, {&packets::update, "append", true, 0, none, one, maybe}},
      {0x0f, {&packets::update, "prepend", false, 0, none, one, maybe}},
      {0x1a, {&packets::update, "prepend", true, 0, none, one, maybe}},
      {0x04, {&packets::remove, "delete", false, 0, none, one, none}},
      {0x14, {&packets::remove, "delete", true, 0, none, one, none}},
      {0x05, {&packets::count, "incr", false, 20, one, one, none}},
      {0x15, {&packets::count, "incr", true, 20, one, one, none}},
      {0x06, {&packets::count, "decr", false, 20, one, one, none}},
      {0x16, {&packets::count, "decr", true, 20, one, one, none}},
      {0x08, {&packets::flush, "flush_all", false, 4, maybe, none, none}},
      {0x18, {&packets::flush, "flush_all", true, 4, maybe, none, none}},
      {0x07, {&packets::quit, "quit", false, 0, none, none, none}},
      {0x17, {&packets::quit, "quit", true, 0, none, none, none}},
      {0x0a, {&packets::noop, "noop", false, 0, none, none, none}},
      {0x0b, {&packets::version, "version", false, 0, none, none, none}},
      {0x10, {&packets::stat, "stats", false, 0, none, maybe, none}},
      {0x20, {&packets::sasl, "list mechanisms", false, 0, none, none, none}},
      {0x21, {&packets::sasl, "auth", false, 0, none, one, maybe}},
      {0x22, {&packets::sasl, "step", false, 0, none, one, maybe}},
  };
  return table;
}

// ---- the parts of a request ----

void packets::receive() {
  if (input_.size() == wanted_) take_part();
}

void packets::await(part what, std::size_t size) {
  next_ = what;
  wanted_ = size;
  if (size == 0) take_part();
}

// Whoever takes a part says what comes next, unless it is another request.
void packets::take_part() {
  const std::string bytes = std::exchange(input_, {});
  const part taken = std::exchange(next_, part::header);
  wanted_ = header_size;
  switch (taken) {
    case part::header: return judge(bytes);
    case part::extras_and_key: return run(bytes);
    case part::value: return store(bytes);
    case part::nothing_of_use: return;
  }
}

// What a header promises is refused before it comes, and there is no going on after most of it.
void packets::judge(std::string_view header) {
  const auto field = [header](std::size_t position, std::size_t size) { return number(header.substr(position, size)); };
  if (field(0, 1) != 0x80) return expect_end();
  const std::size_t keylen = field(2, 2);
  const std::size_t extlen = field(4, 1);
  const std::size_t bodylen = field(8, 4);
  const std::size_t value_size = bodylen - keylen - extlen;
  const auto found = commands().find(static_cast<unsigned>(field(1, 1)));
  request_ = {.opcode = static_cast<unsigned>(field(1, 1)),
              .opaque = std::string(header.substr(12, 4)),
              .cas = field(16, 8),
              .extlen = extlen,
              .value_size = value_size,
              .what = found == commands().end() ? nullptr : &found->second,
              .extras = {},
              .key = {}};
  if (keylen + extlen > bodylen) return hang_up(unknown);
  if (keylen > key_max_length) return hang_up(invalid);
  if (request_.what == nullptr) {
    refuse(unknown);
    return swallow(bodylen);
  }
  const auto may_be = [](presence p, std::size_t size) { return size == 0 ? p != presence::one : p != presence::none; };
  const command& c = *request_.what;
  const bool right = may_be(c.extras, extlen) && (extlen == 0 || extlen == c.extlen) && may_be(c.key, keylen) &&
                     may_be(c.value, value_size);
  if (!right) return hang_up(invalid);
  await(part::extras_and_key, extlen + keylen);
}

void packets::run(std::string_view extras_and_key) {
  request_.extras = extras_and_key.substr(0, request_.extlen);
  request_.key = extras_and_key.substr(request_.extlen);
  (this->*request_.what->run)();
}

// ---- commands ----

void packets::get() {
  const contents::item* const it = stored_.find(request_.key);
  if (it == nullptr) return say_miss();
  say_item(*it);
}

// The item is sent though it has expired just now.
void packets::touch() {
  const contents::item* const it = stored_.find(request_.key);
  if (it == nullptr) return say_miss();
  say_item(*it);
  if (has_expired(static_cast<std::int64_t>(number(request_.extras)))) std::ignore = stored_.remove(request_.key, 0);
}

// A get that is quiet is so about misses only.
void packets::say_item(const contents::item& it) {
  const std::string& word = request_.what->word;
  expect(encode({.extras = big_endian(it.flags, 4),
                 .key = word.ends_with('k') ? request_.key : "",
                 .value = word == "touch" ? "" : it.value,
                 .cas = it.cas}));
}

void packets::say_miss() {
  if (request_.what->quiet) return;
  if (!request_.what->word.ends_with('k')) return refuse(not_found);
  expect(encode({.status = not_found, .key = request_.key}));
}

void packets::update() {
  const std::string& word = request_.what->word;
  const auto flags = static_cast<std::uint32_t>(number(request_.extras.substr(0, 4)));
  if (contents::fits(request_.key, flags, request_.value_size)) return await(part::value, request_.value_size);
  if (word == "set") std::ignore = stored_.remove(request_.key, 0);
  refuse(too_large);
  swallow(request_.value_size);
}

void packets::store(const std::string& value) {
  contents::update u{.mode = request_.what->word, .key = request_.key, .cas = request_.cas, .value = value};
  if (!request_.extras.empty()) {
    u.flags = static_cast<std::uint32_t>(number(request_.extras.substr(0, 4)));
    u.expired = has_expired(static_cast<std::int64_t>(number(request_.extras.substr(4))));
  }
  const verdict result = stored_.store(u);
  if (result == verdict::done) return say_unless_quiet({.cas = stored_.last_cas()});
  const bool joins = u.mode == "append" || u.mode == "prepend";
  if (result == verdict::too_large) return refuse(not_stored);
  if (result == verdict::not_stored && !joins) return refuse(u.mode == "add" ? exists : not_found);
  refuse(result);
}

void packets::remove() {
  const verdict result = stored_.remove(request_.key, request_.cas);
  if (result != verdict::done) return refuse(result);
  say_unless_quiet({});
}

void packets::count() {
  const std::uint64_t delta = number(request_.extras.substr(0, 8));
  const std::uint64_t initial = number(request_.extras.substr(8, 8));
  const std::uint64_t exptime = number(request_.extras.substr(16));
  std::uint64_t result = initial;
  verdict what = stored_.count(request_.key, request_.what->word == "incr", delta, request_.cas, result);
  if (what == verdict::not_found && exptime != do_not_create) {
    what = stored_.store({.mode = "add",
                          .key = request_.key,
                          .expired = has_expired(static_cast<std::int64_t>(exptime)),
                          .value = std::to_string(initial)});
  }
  if (what != verdict::done) return refuse(what);
  say_unless_quiet({.value = big_endian(result, 8), .cas = stored_.last_cas()});
}

// A flush in the future never comes, as the clock stands still.
void packets::flush() {
  const auto when = static_cast<std::int64_t>(number(request_.extras));
  if (when == 0 || has_expired(when)) stored_.flush();
  say_unless_quiet({});
}

void packets::stat() {
  const std::string& group = request_.key;
  if (group == "reset" || group == "detail on" || group == "detail off") return expect(encode({}));
  if (group == "conns") return expect_list(encode({.status = not_found, .value = texts().at(not_found)}));
  const bool known = group.empty() || group == "settings" || group == "items" || group == "slabs" || group == "sizes" ||
                     group == "detail dump";
  if (!known) return refuse(not_found);
  expect_list(encode({}));
}

void packets::version() { expect(encode({.value = "1.4.25"})); }

void packets::noop() { expect(encode({})); }

void packets::quit() {
  say_unless_quiet({});
  expect_end();
}

void packets::sasl() {
  refuse(unknown);
  swallow(request_.value_size);
}

// ---- replies ----

void packets::say_unless_quiet(const reply& r) {
  if (!request_.what->quiet) expect(encode(r));
}

void packets::refuse(unsigned status) { expect(encode({.status = status, .value = texts().at(status)})); }

void packets::refuse(verdict why) {
  switch (why) {
    case verdict::not_stored: return refuse(not_stored);
    case verdict::exists: return refuse(exists);
    case verdict::not_found: return refuse(not_found);
    case verdict::not_a_number: return refuse(not_a_number);
    case verdict::too_large: return refuse(too_large);
    case verdict::done: std::abort();
  }
}

void packets::hang_up(unsigned status) {
  refuse(status);
  expect_end();
}

std::string packets::encode(const reply& r) const {
  const std::string body = r.extras + r.key + r.value;
  return big_endian(0x81, 1) + big_endian(request_.opcode, 1) + big_endian(r.key.size(), 2) +
         big_endian(r.extras.size(), 1) + big_endian(0, 1) + big_endian(r.status, 2) + big_endian(body.size(), 4) +
         request_.opaque + big_endian(r.cas, 8) + body;
}

// A statistic is a key and a value; the last has neither. Whose answer it is can be read from `instead`.
std::optional<model::entry> packets::entry_of_list(std::string_view heard, std::string_view instead) const {
  if (heard.size() < header_size) return std::nullopt;
  const std::size_t keylen = number(heard.substr(2, 2));
  const std::size_t bodylen = number(heard.substr(8, 4));
  const std::size_t size = header_size + bodylen;
  if (heard.size() < size) return std::nullopt;
  if (instead.size() > header_size && heard.substr(0, size) == instead) return entry{size, true};
  const std::string right = std::string(instead.substr(0, 2)) + std::string(heard.substr(2, 2)) + big_endian(0, 4) +
                            std::string(heard.substr(8, 4)) + std::string(instead.substr(12, 4)) + big_endian(0, 8);
  const bool is_one = heard.starts_with(right) && keylen <= bodylen && (keylen > 0 || bodylen == 0);
  return entry{is_one ? size : 0, bodylen == 0};
}

// ---- the end ----

std::string packets::last_question() const {
  std::string all;
  for (const auto& [key, it] : stored_.items()) all += question(0x0d, "item", key);
  return all + question(0x0a, "last", "");
}

std::optional<std::string> packets::missing() const {
  if (next_ == part::header && input_.empty()) return "";
  const std::size_t size = wanted_ - input_.size();
  if (size > most_sent_at_the_end) return std::nullopt;
  return std::string(size, '\0');
}

}  // namespace fuzz
