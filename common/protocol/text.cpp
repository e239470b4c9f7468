// The text protocol: one function a command, and the table that leads to it.
//
// Where 1.4.25 and the memcached of today differ, we follow the later one if it mended a fault: a refused value is
// swallowed with noreply too, "flush_all x" is refused, and a failed append says why. "slabs" and "lru_crawler" steer
// threads that we do not have, and are answered ERROR.
#include "common/protocol/text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "common/protocol/counted.h"
#include "common/protocol/numbers.h"
#include "common/protocol/tokens.h"
#include "common/protocol/version.h"
#include "common/storage/printable.h"

namespace protocol {
namespace {

using storage::alloc_error;
using storage::delta_result;
using storage::store_mode;
using storage::store_result;

constexpr std::size_t line_end_size = 2;
constexpr std::int64_t longest_value = std::numeric_limits<std::int32_t>::max() - std::int64_t{line_end_size};
constexpr std::uint32_t max_verbosity_level = 2;
constexpr std::uint32_t max_slab_classes = 64;  // 1.4.25 numbers its classes with 6 bits

constexpr std::string_view unknown_command = "ERROR";
constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format";
constexpr std::string_view bad_delete = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";
constexpr std::string_view bad_chunk = "CLIENT_ERROR bad data chunk";
constexpr std::string_view bad_delta = "CLIENT_ERROR invalid numeric delta argument";
constexpr std::string_view bad_exptime = "CLIENT_ERROR invalid exptime argument";
constexpr std::string_view not_a_number = "CLIENT_ERROR cannot increment or decrement non-numeric value";
constexpr std::string_view no_flush = "CLIENT_ERROR flush_all not allowed";
constexpr std::string_view bad_stats = "CLIENT_ERROR bad command line";
constexpr std::string_view bad_slab_class = "CLIENT_ERROR Illegal slab id";
constexpr std::string_view bad_detail = "CLIENT_ERROR usage: stats detail on|off|dump";
constexpr std::string_view no_shutdown = "ERROR: shutdown not enabled";
constexpr std::string_view value_too_large = "SERVER_ERROR object too large for cache";
constexpr std::string_view no_memory_for_value = "SERVER_ERROR out of memory storing object";
constexpr std::string_view no_memory_for_delta = "SERVER_ERROR out of memory";
constexpr std::string_view no_memory_for_get = "SERVER_ERROR out of memory writing get response";
constexpr std::string_view no_memory_for_stats = "SERVER_ERROR out of memory writing stats";

// A command line on its way to an outcome. The command's name is word 0.
struct request {
  environment& env;
  tokens words;
  outcome& out;
  std::vector<storage::item_ref>& items;
};

// Leaves `out` as new. Cheap unless the last outcome held a text or an item that nobody took.
void begin(outcome& out, bool noreply) noexcept {
  out.what = outcome::kind::nothing;
  out.line = {};
  out.noreply = noreply;
  out.swallow_bytes = 0;
  out.item.reset();
  if (!out.text.empty()) std::string{}.swap(out.text);
}

void reply(outcome& out, std::string_view line) noexcept {
  if (out.noreply) return;
  out.what = outcome::kind::reply_line;
  out.line = line;
}

void reply(outcome& out, std::uint64_t number) noexcept {
  const auto written = std::to_chars(out.scratch, out.scratch + sizeof out.scratch, number);
  reply(out, {out.scratch, written.ptr});
}

// The connection ends with this line.
void last_words(outcome& out, std::string_view line) noexcept {
  out.what = outcome::kind::hang_up;
  out.line = line;
}

// The value that follows will not be stored: what to say, and how much to skip.
void refuse_value(outcome& out, std::string_view line, std::size_t nbytes) noexcept {
  out.what = outcome::kind::skip_value;
  if (!out.noreply) out.line = line;
  out.swallow_bytes = nbytes;
}

// Whether the last word is "noreply". It silences errors too.
bool noreply_asked(const tokens& words) noexcept { return words.last() == "noreply"; }

enum class cas_number { left_out, shown };

// get|gets <key>*
template <cas_number form>
void process_get(request& r) noexcept try {
  auto& [env, words, out, items] = r;
  for (auto key = words.next(); !key.empty(); key = words.next()) {
    if (key.size() > key_max_length) {
      items.clear();
      return reply(out, bad_format);
    }
    if (auto it = counted::get(env, key)) items.push_back(std::move(it));
  }
  out.what = outcome::kind::send_items;
  out.with_cas = form == cas_number::shown;
} catch (const std::bad_alloc&) {
  r.items.clear();
  reply(r.out, no_memory_for_get);
}

// set|add|replace|append|prepend <key> <flags> <exptime> <bytes> [noreply]
// cas <key> <flags> <exptime> <bytes> <cas unique> [noreply]
//
// Flags and exptime wrap to 32 bits as in 1.4.25. A length that does not fit 31 bits wraps there too; here it is
// refused.
template <store_mode mode>
void process_update(request& r) noexcept {
  auto& [env, words, out, items] = r;
  out.noreply = noreply_asked(words);
  const auto key = words[1];
  const auto flags = unsigned_32(words[2]);
  const auto exptime = signed_32(words[3]);
  const auto length = signed_number(words[4]);
  const auto cas = mode == store_mode::cas ? unsigned_number(words[5]) : 0;
  if (key.size() > key_max_length || !flags || !exptime || !length || !cas) return reply(out, bad_format);
  if (*length < 0 || *length > longest_value) return reply(out, bad_format);
  const auto nbytes = static_cast<std::size_t>(*length) + line_end_size;

  auto why = alloc_error::none;
  out.item = counted::allocate(env, mode, key, *flags, *exptime, nbytes, why);
  if (!out.item) {
    return refuse_value(out, why == alloc_error::too_large ? value_too_large : no_memory_for_value, nbytes);
  }
  out.what = outcome::kind::want_value;
  out.mode = mode;
  out.cas = *cas;
}

enum class arithmetic { incr, decr };

// incr|decr <key> <delta> [noreply]
template <arithmetic operation>
void process_arithmetic(request& r) noexcept {
  auto& [env, words, out, items] = r;
  out.noreply = noreply_asked(words);
  const auto key = words[1];
  const auto delta = unsigned_number(words[2]);
  if (key.size() > key_max_length) return reply(out, bad_format);
  if (!delta) return reply(out, bad_delta);

  constexpr bool incr = operation == arithmetic::incr;
  std::uint64_t cas = 0;
  std::uint64_t result = 0;
  switch (counted::add_delta(env, key, incr, *delta, cas, result)) {
    case delta_result::ok: return reply(out, result);
    case delta_result::not_found: counted::delta_miss(env, incr); return reply(out, "NOT_FOUND");
    case delta_result::non_numeric: return reply(out, not_a_number);
    case delta_result::out_of_memory: return reply(out, no_memory_for_delta);
    case delta_result::exists: return reply(out, "EXISTS");  // not without a cas number, and we gave none
  }
}

// delete <key> [0] [noreply]
//
// The 0 was a time, in seconds, during which the key could not be added again; clients that still send one mean 0.
void process_delete(request& r) noexcept {
  auto& [env, words, out, items] = r;
  const auto key = words[1];
  if (words.size() > 2) {
    out.noreply = noreply_asked(words);
    const bool zero = words[2] == "0";
    const bool valid = words.size() == 3 ? zero || out.noreply : zero && out.noreply;
    if (!valid) return reply(out, bad_delete);
  }
  if (key.size() > key_max_length) return reply(out, bad_format);

  if (counted::remove(env, key, 0) == store_result::not_found) return reply(out, "NOT_FOUND");
  reply(out, "DELETED");
}

// touch <key> <exptime> [noreply]
void process_touch(request& r) noexcept {
  auto& [env, words, out, items] = r;
  out.noreply = noreply_asked(words);
  const auto key = words[1];
  const auto exptime = signed_32(words[2]);
  if (key.size() > key_max_length) return reply(out, bad_format);
  if (!exptime) return reply(out, bad_exptime);

  if (!counted::get_and_touch(env, key, *exptime)) return reply(out, "NOT_FOUND");
  reply(out, "TOUCHED");
}

// flush_all [exptime] [noreply]
void process_flush_all(request& r) noexcept {
  auto& [env, words, out, items] = r;
  out.noreply = noreply_asked(words);
  env.commands.flush_cmds.add();
  if (!env.flush_enabled) return reply(out, no_flush);

  storage::unix_time when = 0;
  const bool has_exptime = words.size() > (out.noreply ? 2u : 1u);
  if (has_exptime) {
    const auto exptime = signed_32(words[1]);
    if (!exptime) return reply(out, bad_exptime);
    when = env.store.expiry(*exptime);
  }
  env.store.flush_all(when);
  reply(out, "OK");
}

// verbosity <level> [noreply]
void process_verbosity(request& r) noexcept {
  auto& [env, words, out, items] = r;
  out.noreply = noreply_asked(words);
  const auto level = unsigned_32(words[1]);
  if (!level) return reply(out, bad_format);
  if (env.set_verbosity) env.set_verbosity(std::min(*level, max_verbosity_level));
  reply(out, "OK");
}

void reply_text(outcome& out, std::string text) noexcept {
  out.what = outcome::kind::reply_text;
  out.text = std::move(text);
}

// stats detail on|off|dump
void process_stats_detail(request& r) {
  const auto order = r.words[2];
  auto& prefixes = *r.env.prefixes;
  if (order == "dump") return reply_text(r.out, prefixes.dump());
  if (order != "on" && order != "off") return reply(r.out, bad_detail);
  prefixes.turn(order == "on");
  reply(r.out, "OK");
}

// stats cachedump <slab class> <most items>
void process_stats_cachedump(request& r) {
  if (r.words.size() < 4) return reply(r.out, bad_stats);
  const auto slab_class = unsigned_32(r.words[2]);
  const auto limit = unsigned_32(r.words[3]);
  if (!slab_class || !limit) return reply(r.out, bad_format);
  if (*slab_class >= max_slab_classes) return reply(r.out, bad_slab_class);
  reply_text(r.out, r.env.store.cachedump(*slab_class, *limit));
}

// stats [group] [arguments]
void process_stats(request& r) noexcept try {
  const auto group = r.words[1];
  if (group == "reset") {
    reset_stats(r.env);
    return reply(r.out, "RESET");
  }
  if (group == "detail") return process_stats_detail(r);
  if (group == "cachedump") return process_stats_cachedump(r);

  std::string text;
  const bool known = add_stats_group(r.env, group, [&text](std::string_view name, std::string_view value) {
    text.append("STAT ").append(name).append(" ").append(storage::printable_line(value)).append("\r\n");
  });
  if (!known) return reply(r.out, unknown_command);
  text += "END\r\n";
  reply_text(r.out, std::move(text));
} catch (const std::bad_alloc&) {
  reply(r.out, no_memory_for_stats);
}

void process_version(request& r) noexcept { reply(r.out, version_line); }

void process_quit(request& r) noexcept { last_words(r.out, ""); }

void process_shutdown(request& r) noexcept { reply(r.out, no_shutdown); }

struct command {
  std::string_view name;
  std::size_t fewest_words;  // both with the name
  std::size_t most_words;
  void (*process)(request&) noexcept;
};

constexpr std::size_t any = tokens::most;

// Searched from the top, so the busiest come first. A wrong number of words is an unknown command, noreply or not.
constexpr command commands[] = {
    {"get", 2, any, process_get<cas_number::left_out>},
    {"set", 5, 6, process_update<store_mode::set>},
    {"gets", 2, any, process_get<cas_number::shown>},
    {"incr", 3, 4, process_arithmetic<arithmetic::incr>},
    {"decr", 3, 4, process_arithmetic<arithmetic::decr>},
    {"delete", 2, 4, process_delete},
    {"add", 5, 6, process_update<store_mode::add>},
    {"cas", 6, 7, process_update<store_mode::cas>},
    {"touch", 3, 4, process_touch},
    {"replace", 5, 6, process_update<store_mode::replace>},
    {"append", 5, 6, process_update<store_mode::append>},
    {"prepend", 5, 6, process_update<store_mode::prepend>},
    {"bget", 2, any, process_get<cas_number::left_out>},  // in no document, but it is there
    {"version", 1, 1, process_version},
    {"quit", 1, 1, process_quit},
    {"stats", 1, any, process_stats},
    {"flush_all", 1, 3, process_flush_all},
    {"verbosity", 2, 3, process_verbosity},
    {"shutdown", 1, any, process_shutdown},
};

const command* find_command(const tokens& words) noexcept {
  const auto* const found = std::ranges::find(commands, words[0], &command::name);
  if (found == std::end(commands)) return nullptr;
  return words.size() >= found->fewest_words && words.size() <= found->most_words ? found : nullptr;
}

}  // namespace

std::optional<line_end> find_line(std::string_view input, std::size_t searched) noexcept {
  const auto newline = input.find('\n', searched);
  std::string_view line = input.substr(0, newline);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (newline != std::string_view::npos) return line_end{.line = line.size(), .consumed = newline + 1};
  if (line_too_long(line)) return line_end{.line = line.size(), .consumed = input.size()};
  return std::nullopt;
}

bool line_too_long(std::string_view line) noexcept {
  if (line.size() <= max_line) return false;
  const auto command = line.substr(std::min(line.find_first_not_of(' '), line.size()));
  const bool is_get =
      line.size() - command.size() <= 100 && (command.starts_with("get ") || command.starts_with("gets "));
  return !is_get || line.size() > max_get_line;
}

bool is_error(std::string_view reply) noexcept {
  return reply.starts_with("ERROR") || reply.starts_with("CLIENT_ERROR") || reply.starts_with("SERVER_ERROR");
}

void process_command(environment& env, std::string_view line, outcome& out,
                     std::vector<storage::item_ref>& items) noexcept {
  begin(out, false);
  items.clear();
  if (line_too_long(line)) return last_words(out, line_too_long_text);
  request r{env, tokens{line}, out, items};
  if (const command* const found = find_command(r.words)) return found->process(r);
  reply(out, unknown_command);
}

void complete_value(environment& env, storage::item_ref item, storage::store_mode mode, std::uint64_t cas, bool noreply,
                    outcome& out) noexcept {
  begin(out, noreply);
  env.commands.slabs[item->slabs_clsid].set_cmds.add();
  if (!std::as_const(*item).data().ends_with("\r\n")) return reply(out, bad_chunk);

  // EXISTS and NOT_FOUND answer a cas alone.
  switch (counted::put(env, item, mode, cas)) {
    case store_result::stored: return reply(out, "STORED");
    case store_result::exists: return reply(out, "EXISTS");
    case store_result::not_found: return reply(out, "NOT_FOUND");
    case store_result::not_stored: return reply(out, "NOT_STORED");
    case store_result::too_large: return reply(out, value_too_large);
    case store_result::out_of_memory: return reply(out, no_memory_for_value);
  }
}

}  // namespace protocol
