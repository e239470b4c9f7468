// memcached's command line. Two tables, of the options and of the names that -o takes; parsing and --help both read
// them.
#include "common/settings/settings.h"

#include <algorithm>
#include <climits>
#include <iterator>
#include <utility>

#include "common/settings/getopt.h"

namespace {

// --- Values ---------------------------------------------------------------------------------------------------------

[[noreturn]] void refuse(std::string_view value, const std::string& what) {
  throw usage_error(std::string(value) + " is not " + what);
}

[[nodiscard]] int port_number(std::string_view value) { return between(-1, 65535, value, "a port"); }

[[nodiscard]] mode_t permissions(std::string_view value) {
  const auto mode = parsed<unsigned>(value, 8);
  if (!mode || *mode > 0777) refuse(value, "a file mode (octal, 0 to 777)");
  return *mode;
}

// "1m", "64k" or bytes.
[[nodiscard]] std::size_t item_size(std::string_view value) {
  constexpr std::size_t kib = 1024, mib = 1024 * kib;
  std::size_t unit = 1;
  if (value.ends_with('k') || value.ends_with('K')) unit = kib;
  if (value.ends_with('m') || value.ends_with('M')) unit = mib;
  const auto n = parsed<std::size_t>(value.substr(0, value.size() - (unit == 1 ? 0 : 1)));
  if (!n || *n > 128 * mib / unit || *n * unit < kib) refuse(value, "an item size (1k to 128m)");
  return *n * unit;
}

[[nodiscard]] double growth_factor(std::string_view value) {
  const auto factor = parsed<double>(value);
  const bool fits = factor && *factor > 1 && *factor <= 100;  // "nan" fits nowhere
  if (!fits) refuse(value, "a growth factor (above 1, at most 100)");
  return *factor;
}

[[nodiscard]] binding_protocol protocol_name(std::string_view value) {
  if (value == "auto") return binding_protocol::negotiating;
  if (value == "ascii") return binding_protocol::ascii;
  if (value == "binary") return binding_protocol::binary;
  refuse(value, "a protocol (auto, ascii or binary)");
}

[[nodiscard]] std::vector<std::string_view> split_at_commas(std::string_view list) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto comma = list.find(',');
    parts.push_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

void add_interfaces(settings& s, std::string_view list) {
  for (const std::string_view one : split_at_commas(list)) s.inter.push_back(not_empty(one));
}

// --- The tables -----------------------------------------------------------------------------------------------------

using apply = void (*)(settings& s, std::string_view value);

struct option_row {
  char letter;
  const char* name;           // as memcached 1.6 spells it
  std::string_view argument;  // "": it takes none
  std::string_view text;
  std::string_view absent;  // what to tell somebody whose chapter does not take it
  apply set;                // none: parse_command_line answers itself
};

// Some names are for the chapters that list them, others for all that store. Of the latter some have no effect: 1.4.25
// tunes its storage by them, and ours does without.
enum class meant_for : unsigned char { whoever_lists_it, storage, nothing };

struct extended_row {
  std::string_view name;
  std::string_view argument;  // "[NUM]": it may be left out
  std::string_view text;
  std::string_view absent;
  apply set;
  meant_for whom = meant_for::whoever_lists_it;
};

constexpr std::string_view elsewhere = "this program does not take it";
constexpr std::string_view no_items = "this program stores nothing";
constexpr std::string_view no_storage = "this chapter stores nothing yet; chapter 02-nread does";

// In the order of --help. What no chapter takes has no text and is never listed.
constexpr option_row options[] = {
    {'p', "port", "NUM", "TCP port, 0 for none, -1 for one of the kernel's choice (default: 11211)", elsewhere,
     [](settings& s, std::string_view v) { s.port = port_number(v); }},
    {'U', "udp-port", "NUM", "UDP port, as -p (default: 0)",
     "this chapter has no UDP yet; chapter 10-transports brings it",
     [](settings& s, std::string_view v) { s.udpport = port_number(v); }},
    {'s', "unix-socket", "PATH", "listen on this unix socket", elsewhere,
     [](settings& s, std::string_view v) { s.socketpath = not_empty(v); }},
    {'a', "unix-mask", "MODE", "permissions of the unix socket, octal (default: 700)", elsewhere,
     [](settings& s, std::string_view v) { s.access = permissions(v); }},
    {'l', "listen", "ADDR", "interfaces to listen on, HOST or HOST:PORT, a list or repeated (default: all)", elsewhere,
     add_interfaces},
    {'c', "conn-limit", "NUM", "connections at a time; sets the limit of open files (default: 1024)", elsewhere,
     [](settings& s, std::string_view v) { s.maxconns = between(1, 10'000'000, v, "a number of connections"); }},
    {'b', "listen-backlog", "NUM", "connections that may wait to be accepted (default: 1024)", elsewhere,
     [](settings& s, std::string_view v) { s.backlog = between(1, 65535, v, "a backlog"); }},
    {'t', "threads", "NUM", "worker threads (default: 4)",
     "this chapter has no threads yet; chapter 06-worker-pool brings them",
     [](settings& s, std::string_view v) { s.num_threads = between(1, 1024, v, "a number of threads"); }},
    {'R', "max-reqs-per-event", "NUM", "requests of one connection before others get their turn (default: 20)",
     "this chapter does not count requests yet; chapter 07-new-states brings it",
     [](settings& s, std::string_view v) { s.reqs_per_event = between(1, 1'000'000'000, v, "a number of requests"); }},
    {'B', "protocol", "NAME", "auto, ascii or binary (default: auto)",
     "this chapter speaks the text protocol only; chapter 11-binary-protocol brings the other",
     [](settings& s, std::string_view v) { s.protocol = protocol_name(v); }},
    {'m', "memory-limit", "NUM", "MiB for items (default: 64)", no_storage,
     [](settings& s, std::string_view v) {
       s.maxbytes = between<std::size_t>(1, 16'777'216, v, "a number of MiB") << 20;
     }},
    {'M', "disable-evictions", "", "when memory is full, answer with an error instead of evicting", no_storage,
     [](settings& s, std::string_view) { s.evict_to_free = false; }},
    {'I', "max-item-size", "SIZE", "largest item, 1k to 128m (default: 1m)", no_storage,
     [](settings& s, std::string_view v) { s.item_size_max = item_size(v); }},
    {'f', "slab-growth-factor", "NUM", "how much larger the chunks of each next slab class are (default: 1.25)",
     no_storage, [](settings& s, std::string_view v) { s.factor = growth_factor(v); }},
    {'n', "slab-min-size", "NUM", "bytes for key, flags and value in the smallest chunk (default: 48)", no_storage,
     [](settings& s, std::string_view v) { s.chunk_size = between<std::size_t>(1, 1 << 20, v, "a number of bytes"); }},
    {'C', "disable-cas", "", "keep no cas number with the items", no_storage,
     [](settings& s, std::string_view) { s.use_cas = false; }},
    {'F', "disable-flush-all", "", "refuse flush_all", no_storage,
     [](settings& s, std::string_view) { s.flush_enabled = false; }},
    {'v', "verbose", "", "say more on stderr: -v problems, -vv also commands and replies, -vvv also states", elsewhere,
     [](settings& s, std::string_view) { ++s.verbose; }},
    {'d', "daemon", "", "run as a daemon", elsewhere, [](settings& s, std::string_view) { s.daemonize = true; }},
    {'P', "pidfile", "PATH", "write the process's number into this file", elsewhere,
     [](settings& s, std::string_view v) { s.pid_file = not_empty(v); }},
    {'u', "user", "NAME", "become this user (when started as root)", elsewhere,
     [](settings& s, std::string_view v) { s.username = not_empty(v); }},
    {'k', "lock-memory", "", "keep all memory from being swapped out", elsewhere,
     [](settings& s, std::string_view) { s.lock_memory = true; }},
    {'r', "enable-coredumps", "", "allow core files", elsewhere,
     [](settings& s, std::string_view) { s.maximize_core = true; }},
    {'o', "extended", "LIST", "more options, separated by commas:",
     "this chapter has no such options; 03-mwrite has nagle, 12-maxconns has maxconns_fast", nullptr},
    {'h', "help", "", "print this and exit", elsewhere, nullptr},
    {'V', "version", "", "print the version and exit", elsewhere, nullptr},
    {'S', "enable-sasl", "", "", "this build has no SASL", nullptr},
    {'L', "enable-largepages", "", "", "this build has no large pages", nullptr},
    {'D', "stats-prefix", "CHAR", "", "prefixes end at the first colon here, always", nullptr},
};

constexpr apply nothing_to_check = [](settings&, std::string_view) {};
constexpr apply percentage = [](settings&, std::string_view v) { (void)between(1, 79, v, "a percentage"); };

constexpr extended_row extended_options[] = {
    {"maxconns_fast", "", "refuse connections above -c at once, with an error",
     "this chapter does not have it yet; chapter 12-maxconns brings it",
     [](settings& s, std::string_view) { s.maxconns_fast = true; }},
    {"hashpower", "NUM", "the hash table starts with 2^NUM buckets (default: 16)", no_items,
     [](settings& s, std::string_view v) {
       s.hashpower_init = between(12u, 32u, v, "a power of two for the hash table");
     },
     meant_for::storage},
    {"nagle", "", "leave Nagle's algorithm on: what it costs is chapter 03-mwrite's experiment",
     "chapter 03-mwrite is where to try it", [](settings& s, std::string_view) { s.nagle = true; }},
    {"server", "ADDR", "HOST:PORT of the server that answers", "this program is no proxy; chapter 14-nc-forward is",
     [](settings& s, std::string_view v) { s.server = not_empty(v); }},
    {"level", "", "level-triggered events: what edges save is chapter 13-nc-event's experiment",
     "chapter 13-nc-event is where to try it", [](settings& s, std::string_view) { s.level_triggered = true; }},
    {"read_once", "", "read once an event, whatever is left: what edges demand is chapter 13-nc-event's experiment",
     "chapter 13-nc-event is where to try it", [](settings& s, std::string_view) { s.read_once = true; }},
    // Their values are held to 1.4.25's bounds.
    {"slab_reassign", "", "no effect here", no_items, nothing_to_check, meant_for::nothing},
    {"slab_automove", "[NUM]", "0 to 2: no effect here", no_items,
     [](settings&, std::string_view v) { (void)between(0, 2, v, "a way to move slabs"); }, meant_for::nothing},
    {"tail_repair_time", "NUM", "seconds, at least 10: no effect here", no_items,
     [](settings&, std::string_view v) { (void)between(10, INT_MAX, v, "a number of seconds"); }, meant_for::nothing},
    {"hash_algorithm", "NAME", "jenkins or murmur3: no effect here", no_items,
     [](settings&, std::string_view v) {
       if (v != "jenkins" && v != "murmur3") refuse(v, "a hash algorithm (jenkins or murmur3)");
     },
     meant_for::nothing},
    {"lru_crawler", "", "no effect here", no_items, nothing_to_check, meant_for::nothing},
    {"lru_crawler_sleep", "NUM", "microseconds, at most 1000000: no effect here", no_items,
     [](settings&, std::string_view v) { (void)between(0, 1'000'000, v, "a number of microseconds"); },
     meant_for::nothing},
    {"lru_crawler_tocrawl", "NUM", "items: no effect here", no_items,
     [](settings&, std::string_view v) { (void)between(0u, UINT_MAX, v, "a number of items"); }, meant_for::nothing},
    {"lru_maintainer", "", "no effect here", no_items, nothing_to_check, meant_for::nothing},
    {"hot_lru_pct", "NUM", "1 to 79: no effect here", no_items, percentage, meant_for::nothing},
    {"warm_lru_pct", "NUM", "1 to 79: no effect here", no_items, percentage, meant_for::nothing},
    {"expirezero_does_not_evict", "", "no effect here", no_items, nothing_to_check, meant_for::nothing},
};

// --- Parsing --------------------------------------------------------------------------------------------------------

[[nodiscard]] bool takes(const command_line& chapter, const option_row& row) {
  return chapter.flags.find(row.letter) != std::string_view::npos;
}

[[nodiscard]] bool takes(const command_line& chapter, const extended_row& row) {
  if (row.whom != meant_for::whoever_lists_it) return chapter.flags.find('m') != std::string_view::npos;
  return std::ranges::count(split_at_commas(chapter.extended), row.name) != 0;
}

// -o: "name,name=value".
void set_extended(settings& s, std::string_view list, const command_line& chapter) {
  for (const std::string_view part : split_at_commas(list)) {
    const auto equals = part.find('=');
    const bool has_value = equals != std::string_view::npos;
    const std::string name(part.substr(0, equals));
    const auto* const row = std::ranges::find(extended_options, name, &extended_row::name);
    if (row == std::end(extended_options)) {
      throw usage_error("unknown option \"" + name + "\"; --help lists those there are");
    }
    if (!takes(chapter, *row)) throw usage_error(name + ": " + std::string(row->absent));
    if (has_value && row->argument.empty()) throw usage_error(name + " takes no value");
    if (!has_value && !row->argument.empty() && !row->argument.starts_with('[')) {
      throw usage_error(name + " needs a value: " + name + "=" + std::string(row->argument));
    }
    if (has_value || row->argument.empty()) row->set(s, has_value ? part.substr(equals + 1) : std::string_view{});
    if (row->whom == meant_for::nothing) s.without_effect.push_back(name);
  }
}

void set_option(settings& s, const option_row& row, std::string_view value, const command_line& chapter) {
  if (!takes(chapter, row)) throw usage_error(std::string(row.absent));
  if (row.letter == 'h') print_and_exit(help_text(chapter));
  if (row.letter == 'V') print_and_exit(std::string(chapter.program) + " " + std::string(chapter.version) + "\n");
  if (row.letter == 'o') return set_extended(s, value, chapter);
  row.set(s, value);
}

}  // namespace

settings parse_command_line(int argc, char** argv, const command_line& chapter) {
  settings s;
  if (chapter.flags.find('t') == std::string_view::npos) s.num_threads = 1;
  for_each_option(argc, argv, options, s.trace,
                  [&](const option_row& row, std::string_view value) { set_option(s, row, value, chapter); });
  obey_diagram(s.trace, chapter.diagram);
  return s;
}

std::string help_text(const command_line& chapter) {
  const std::string program(chapter.program);
  std::string text = program + ": " + std::string(chapter.idea) + "\n\nusage: " + program + " [options]\n\n";

  constexpr std::size_t help_column = 35;
  const auto add_row = [&text](std::string left, std::string_view right) {
    text += help_line(std::move(left), help_column, right);
  };
  for (const option_row& row : options) {
    if (!takes(chapter, row)) continue;
    const std::string value = row.argument.empty() ? "" : "=" + std::string(row.argument);
    add_row(std::string("  -") + row.letter + ", --" + row.name + value, row.text);
    if (row.letter != 'o') continue;
    for (const extended_row& more : extended_options) {
      if (!takes(chapter, more)) continue;
      std::string its_value = more.argument.empty() ? "" : "=" + std::string(more.argument);
      if (its_value.starts_with("=[")) std::swap(its_value[0], its_value[1]);
      add_row("        " + std::string(more.name) + its_value, more.text);
    }
  }
  text += trace_help(help_column);

  text += "\nexample:\n  " + program + " -p 11311 -vv\n";
  text += "  and in another terminal: printf 'version\\r\\nquit\\r\\n' | nc 127.0.0.1 11311\n";
  return text;
}
