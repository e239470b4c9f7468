// The binary protocol: one function a command, and the table that leads to it.
//
// Where 1.4.25 loses its place in the stream, we keep ours: a value for which there is no memory is swallowed, and a
// touch, gat or stat with a value behind its key is refused like any request of a wrong length. SASL is answered as by
// a server that was built without it. "verbosity" (0x1b) is an unknown command: 1.4.25 names it, but does not have it.
#include "common/protocol/binary.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <limits>
#include <new>
#include <utility>

#include "common/protocol/counted.h"
#include "common/protocol/version.h"

namespace protocol {
namespace {

using enum binary_opcode;
using enum binary_status;
using kind = binary_outcome::kind;
using storage::alloc_error;
using storage::delta_result;
using storage::store_mode;
using storage::store_result;

constexpr std::string_view line_end = "\r\n";
constexpr std::size_t flags_size = 4;
constexpr std::uint32_t do_not_create = 0xffffffff;  // as the exptime of increment and decrement

constexpr std::string_view no_memory_for_item = "Out of memory allocating item";
constexpr std::string_view no_memory_for_delta = "Out of memory incrementing value";
constexpr std::string_view no_memory_for_number = "Out of memory allocating new item";
constexpr std::string_view no_memory_for_stats = "Out of memory generating stats";

// What an error says unless it has a text of its own.
constexpr std::string_view text_of(binary_status status) noexcept {
  switch (status) {
    case success: return "";
    case key_not_found: return "Not found";
    case key_exists: return "Data exists for key.";
    case too_large: return "Too large.";
    case invalid_arguments: return "Invalid arguments";
    case not_stored: return "Not stored.";
    case delta_bad_value: return "Non-numeric server-side value for incr or decr";
    case auth_error: return "Auth failure.";
    case unknown_command: return "Unknown command";
    case out_of_memory: return "Out of memory";
  }
  return "";
}

// A request on its way to an outcome. Extras and key have the sizes that its command wants.
struct request {
  environment& env;
  const binary_request_header& header;
  bool quiet;
  std::string_view extras;
  std::string_view key;
  binary_outcome& out;
};

// ---- replies ----

// Leaves `out` as new. Cheap unless the last outcome held a text or an item that nobody took.
void begin(binary_outcome& out) noexcept {
  out.what = kind::nothing;
  out.packet = {};
  out.swallow_bytes = 0;
  out.item.reset();
  if (!out.text.empty()) std::string{}.swap(out.text);
}

template <typename... pieces>
void reply(const binary_request_header& to, binary_outcome& out, const binary_reply_header& header,
           const pieces&... body) noexcept {
  big_endian_writer packet(out.scratch);
  put(packet, to, header);
  (packet.put(body), ...);
  out.what = kind::reply_packet;
  out.packet = packet.written();
}

void reply_text(const binary_request_header& to, binary_outcome& out, binary_status status,
                std::string_view text) noexcept {
  reply(to, out, {.status = status, .bodylen = static_cast<std::uint32_t>(text.size())}, text);
}

// A quiet request is told of its failure, too.
void reply_error(request& r, binary_status status, std::string_view text) noexcept {
  reply_text(r.header, r.out, status, text);
}

void reply_error(request& r, binary_status status) noexcept { reply_error(r, status, text_of(status)); }

void reply_success(request& r, std::uint64_t cas = 0) noexcept {
  if (!r.quiet) reply(r.header, r.out, {.cas = cas});
}

void reply_number(request& r, std::uint64_t number, std::uint64_t cas) noexcept {
  if (!r.quiet) reply(r.header, r.out, {.bodylen = sizeof number, .cas = cas}, number);
}

// ---- commands ----

// What a hit sends besides the flags.
enum class parts { none, value, key_and_value };

// A quiet request is told of its hit: that is what it asked for.
template <parts wanted>
void reply_hit(request& r, storage::item_ref it) noexcept {
  const std::size_t value_size = wanted == parts::none ? 0 : it->value().size();
  const std::size_t key_size = wanted == parts::key_and_value ? r.key.size() : 0;
  reply(r.header, r.out,
        {.extlen = flags_size,
         .keylen = static_cast<std::uint16_t>(key_size),
         .bodylen = static_cast<std::uint32_t>(flags_size + key_size + value_size),
         .cas = it->cas},
        it->flags);
  if (wanted == parts::none) return;
  r.out.what = kind::send_item;
  r.out.item = std::move(it);
  r.out.with_key = wanted == parts::key_and_value;
}

// Who wants the key gets it here, too, in the place of an error text.
template <parts wanted>
void reply_miss(request& r) noexcept {
  if (r.quiet) return;
  if (wanted != parts::key_and_value) return reply_error(r, key_not_found);
  const auto size = static_cast<std::uint16_t>(r.key.size());
  reply(r.header, r.out, {.status = key_not_found, .keylen = size, .bodylen = size}, r.key);
}

// get getq getk getkq
template <parts wanted>
void process_get(request& r) noexcept {
  auto it = counted::get(r.env, r.key);
  if (!it) return reply_miss<wanted>(r);
  reply_hit<wanted>(r, std::move(it));
}

// touch gat gatq gatk gatkq; extras: exptime
template <parts wanted>
void process_touch(request& r) noexcept {
  const auto exptime = big_endian_reader(r.extras).take<std::uint32_t>();
  auto it = counted::get_and_touch(r.env, r.key, exptime);
  if (r.env.prefixes->on()) r.env.prefixes->record_get(r.key, static_cast<bool>(it));
  if (!it) return reply_miss<wanted>(r);
  reply_hit<wanted>(r, std::move(it));
}

// The value that follows will not be stored: says why, and lets it pass.
void refuse_value(request& r, binary_status status, std::string_view text) noexcept {
  reply_error(r, status, text);
  r.out.what = kind::skip_value;
  r.out.swallow_bytes = r.header.value_size();
}

void await_value(request& r, store_mode mode, std::uint32_t flags, std::uint32_t exptime) noexcept {
  auto why = alloc_error::none;
  r.out.item = counted::allocate(r.env, mode, r.key, flags, exptime, r.header.value_size() + line_end.size(), why);
  if (!r.out.item) {
    if (why == alloc_error::too_large) return refuse_value(r, too_large, text_of(too_large));
    return refuse_value(r, out_of_memory, no_memory_for_item);
  }
  r.out.what = kind::want_value;
  r.out.mode = mode;
  r.out.cas = r.header.cas;
}

// set setq add addq replace replaceq; extras: flags, exptime. With a cas number each of them is a cas.
template <store_mode mode>
void process_update(request& r) noexcept {
  big_endian_reader extras(r.extras);
  const auto flags = extras.take<std::uint32_t>();
  const auto exptime = extras.take<std::uint32_t>();
  await_value(r, mode, flags, exptime);
  if (r.header.cas != 0) r.out.mode = store_mode::cas;
}

// append appendq prepend prependq
template <store_mode mode>
void process_append_prepend(request& r) noexcept {
  await_value(r, mode, 0, 0);
}

// delete deleteq
void process_delete(request& r) noexcept {
  const auto result = counted::remove(r.env, r.key, r.header.cas);
  if (result == store_result::not_found) return reply_error(r, key_not_found);
  if (result == store_result::exists) return reply_error(r, key_exists);
  reply_success(r);
}

// The number that increment or decrement did not find.
void create_number(request& r, std::uint64_t number, std::uint32_t exptime) noexcept {
  char text[std::numeric_limits<std::uint64_t>::digits10 + 1];
  const std::string_view digits(text, static_cast<std::size_t>(std::to_chars(text, std::end(text), number).ptr - text));
  auto why = alloc_error::none;
  auto& store = r.env.store;
  const auto it = store.allocate(r.key, 0, store.expiry(exptime), digits.size() + line_end.size(), why);
  if (!it) return reply_error(r, out_of_memory, no_memory_for_number);
  const auto data = it->data();
  std::ranges::copy(line_end, std::ranges::copy(digits, data.begin()).out);
  std::uint64_t cas = 0;
  // Another thread may have created it meanwhile.
  if (store.put(it, store_mode::add, cas) != store_result::stored) return reply_error(r, not_stored);
  reply_number(r, number, cas);
}

enum class arithmetic { incr, decr };

// increment incrementq decrement decrementq; extras: delta, initial value, exptime
template <arithmetic operation>
void process_arithmetic(request& r) noexcept {
  big_endian_reader extras(r.extras);
  const auto delta = extras.take<std::uint64_t>();
  const auto initial = extras.take<std::uint64_t>();
  const auto exptime = extras.take<std::uint32_t>();

  constexpr bool incr = operation == arithmetic::incr;
  std::uint64_t cas = r.header.cas;
  std::uint64_t result = 0;
  switch (counted::add_delta(r.env, r.key, incr, delta, cas, result)) {
    case delta_result::ok: return reply_number(r, result, cas);
    case delta_result::non_numeric: return reply_error(r, delta_bad_value);
    case delta_result::exists: return reply_error(r, key_exists);
    case delta_result::out_of_memory: return reply_error(r, out_of_memory, no_memory_for_delta);
    case delta_result::not_found:
      if (exptime != do_not_create) return create_number(r, initial, exptime);
      counted::delta_miss(r.env, incr);
      return reply_error(r, key_not_found);
  }
}

// flush flushq; extras: exptime, or none
void process_flush(request& r) noexcept {
  if (!r.env.flush_enabled) return reply_error(r, auth_error);
  const auto exptime = r.extras.empty() ? 0 : big_endian_reader(r.extras).take<std::uint32_t>();
  r.env.store.flush_all(r.env.store.expiry(exptime));
  r.env.commands.flush_cmds.add();
  reply_success(r);
}

// A packet of its own for each statistic.
void append_stat(request& r, std::string_view name, std::string_view value) {
  char header[binary_header_size];
  big_endian_writer packet(header);
  put(packet, r.header,
      {.keylen = static_cast<std::uint16_t>(name.size()),
       .bodylen = static_cast<std::uint32_t>(name.size() + value.size())});
  r.out.text.append(packet.written()).append(name).append(value);
}

// False: no such group.
bool append_group(request& r, std::string_view group) {
  auto& prefixes = *r.env.prefixes;
  if (group == "reset") {
    reset_stats(r.env);
  } else if (group == "detail on" || group == "detail off") {
    prefixes.turn(group == "detail on");
  } else if (group == "detail dump") {
    append_stat(r, "detailed", prefixes.dump());
  } else {
    return add_stats_group(r.env, group, [&r](auto name, auto value) { append_stat(r, name, value); });
  }
  return true;
}

// stat; the key is the group, and none is the general one. A packet without a name ends the list.
void process_stat(request& r) noexcept try {
  if (!append_group(r, r.key)) return reply_error(r, key_not_found);
  append_stat(r, "", "");
  r.out.what = kind::reply_text;
} catch (const std::bad_alloc&) {
  begin(r.out);
  reply_error(r, out_of_memory, no_memory_for_stats);
}

void process_version(request& r) noexcept { reply_text(r.header, r.out, success, version); }

void process_noop(request& r) noexcept { reply_success(r); }

// quit quitq
void process_quit(request& r) noexcept {
  reply_success(r);
  r.out.what = kind::hang_up;
}

// sasl_list_mechs sasl_auth sasl_step
void process_sasl(request& r) noexcept { refuse_value(r, unknown_command, text_of(unknown_command)); }

// ---- the table ----

enum class presence { absent, required, optional };

// What the body of a request must consist of.
struct body {
  presence extras = presence::absent;
  std::uint8_t extlen = 0;  // where they are not absent
  presence key = presence::absent;
  presence value = presence::absent;
};

constexpr body no_body{};
constexpr body key_alone{.key = presence::required};
constexpr body key_or_none{.key = presence::optional};
constexpr body exptime_or_none{.extras = presence::optional, .extlen = 4};
constexpr body exptime_key{.extras = presence::required, .extlen = 4, .key = presence::required};
constexpr body delta_initial_exptime_key{.extras = presence::required, .extlen = 20, .key = presence::required};
constexpr body key_value{.key = presence::required, .value = presence::optional};
constexpr body flags_exptime_key_value{
    .extras = presence::required, .extlen = 8, .key = presence::required, .value = presence::optional};

bool fits(presence wanted, std::size_t size) noexcept {
  return wanted == presence::optional || (size != 0) == (wanted == presence::required);
}

bool fits(const body& wanted, const binary_request_header& header) noexcept {
  return fits(wanted.extras, header.extlen) && (header.extlen == 0 || header.extlen == wanted.extlen) &&
         fits(wanted.key, header.keylen) && fits(wanted.value, header.value_size());
}

struct command {
  binary_opcode loud;
  binary_opcode quiet;  // the same as `loud` where there is no quiet form
  body wanted;
  void (*process)(request&) noexcept;
};

constexpr command commands[] = {
    {cmd_get, cmd_getq, key_alone, process_get<parts::value>},
    {cmd_getk, cmd_getkq, key_alone, process_get<parts::key_and_value>},
    {cmd_touch, cmd_touch, exptime_key, process_touch<parts::none>},
    {cmd_gat, cmd_gatq, exptime_key, process_touch<parts::value>},
    {cmd_gatk, cmd_gatkq, exptime_key, process_touch<parts::key_and_value>},
    {cmd_set, cmd_setq, flags_exptime_key_value, process_update<store_mode::set>},
    {cmd_add, cmd_addq, flags_exptime_key_value, process_update<store_mode::add>},
    {cmd_replace, cmd_replaceq, flags_exptime_key_value, process_update<store_mode::replace>},
    {cmd_append, cmd_appendq, key_value, process_append_prepend<store_mode::append>},
    {cmd_prepend, cmd_prependq, key_value, process_append_prepend<store_mode::prepend>},
    {cmd_delete, cmd_deleteq, key_alone, process_delete},
    {cmd_increment, cmd_incrementq, delta_initial_exptime_key, process_arithmetic<arithmetic::incr>},
    {cmd_decrement, cmd_decrementq, delta_initial_exptime_key, process_arithmetic<arithmetic::decr>},
    {cmd_flush, cmd_flushq, exptime_or_none, process_flush},
    {cmd_stat, cmd_stat, key_or_none, process_stat},
    {cmd_version, cmd_version, no_body, process_version},
    {cmd_noop, cmd_noop, no_body, process_noop},
    {cmd_quit, cmd_quitq, no_body, process_quit},
    {cmd_sasl_list_mechs, cmd_sasl_list_mechs, no_body, process_sasl},
    {cmd_sasl_auth, cmd_sasl_auth, key_value, process_sasl},
    {cmd_sasl_step, cmd_sasl_step, key_value, process_sasl},
};

static_assert(std::ranges::all_of(commands, [](const command& c) {
  return c.wanted.extlen + key_max_length <= max_extras_and_key_size;
}));

// The command of each opcode; nullptr: there is none.
constexpr auto by_opcode = [] {
  std::array<const command*, 256> all{};
  for (const command& c : commands) {
    all[static_cast<std::size_t>(c.loud)] = &c;
    all[static_cast<std::size_t>(c.quiet)] = &c;
  }
  return all;
}();

const command* find_command(binary_opcode opcode) noexcept { return by_opcode[static_cast<std::size_t>(opcode)]; }

bool is_quiet(const command& c, binary_opcode opcode) noexcept { return opcode != c.loud; }

bool refuse(const binary_request_header& header, binary_outcome& out, binary_status status, kind what) noexcept {
  reply_text(header, out, status, text_of(status));
  out.what = what;
  return false;
}

}  // namespace

bool check_binary_request(const binary_request_header& header, binary_outcome& out) noexcept {
  begin(out);
  if (!header.lengths_agree()) return refuse(header, out, unknown_command, kind::hang_up);
  if (header.keylen > key_max_length) return refuse(header, out, invalid_arguments, kind::hang_up);
  const command* const found = find_command(header.opcode);
  if (found == nullptr) {
    out.swallow_bytes = header.bodylen;
    return refuse(header, out, unknown_command, kind::skip_value);
  }
  return fits(found->wanted, header) || refuse(header, out, invalid_arguments, kind::hang_up);
}

void process_binary_request(environment& env, const binary_request_header& header, std::string_view extras_and_key,
                            binary_outcome& out) noexcept {
  assert(extras_and_key.size() == header.extras_and_key_size());
  begin(out);
  const command& found = *find_command(header.opcode);
  request r{.env = env,
            .header = header,
            .quiet = is_quiet(found, header.opcode),
            .extras = extras_and_key.substr(0, header.extlen),
            .key = extras_and_key.substr(header.extlen),
            .out = out};
  found.process(r);
}

void complete_binary_value(environment& env, const binary_request_header& header, storage::item_ref item,
                           storage::store_mode mode, std::uint64_t cas, binary_outcome& out) noexcept {
  begin(out);
  request r{.env = env,
            .header = header,
            .quiet = is_quiet(*find_command(header.opcode), header.opcode),
            .extras = {},
            .key = item->key(),
            .out = out};
  std::ranges::copy(line_end, item->data().last(line_end.size()).begin());
  env.commands.slabs[item->slabs_clsid].set_cmds.add();

  switch (counted::put(env, item, mode, cas)) {
    case store_result::stored: return reply_success(r, cas);
    case store_result::exists: return reply_error(r, key_exists);
    case store_result::not_found: return reply_error(r, key_not_found);
    case store_result::not_stored:
      if (mode == store_mode::add) return reply_error(r, key_exists);
      if (mode == store_mode::replace) return reply_error(r, key_not_found);
      return reply_error(r, not_stored);
    case store_result::too_large:  // 1.4.25 has one answer for all appends that fail
    case store_result::out_of_memory: return reply_error(r, not_stored);
  }
}

}  // namespace protocol
