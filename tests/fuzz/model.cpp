// The commands as the model understands them, and the comparison with what the server said.
#include "tests/fuzz/model.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/contract/harness/printable.h"

namespace fuzz {
namespace {

constexpr std::size_t no_limit = SIZE_MAX;
constexpr std::size_t key_max_length = 250;
constexpr std::size_t item_header = 56;        // of a stored item, before its key
constexpr std::size_t longest_line = 1024;     // that waits for its end, unless it is a get
constexpr std::size_t longest_get = 1u << 20;  // the same for a get
constexpr std::size_t most_sent_at_the_end = 64u << 10;

constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format";
constexpr std::string_view bad_exptime = "CLIENT_ERROR invalid exptime argument";
constexpr std::string_view too_large = "SERVER_ERROR object too large for cache";

std::vector<std::string> split(std::string_view line) {
  std::vector<std::string> words(1);
  for (const char c : line.substr(0, line.find('\0'))) {
    if (c != ' ') {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.size() > 1 && words.back().empty()) words.pop_back();
  return words;
}

// After a number comes the end of the word, or white space and then whatever.
bool ends_well(const std::string& word, const char* end) {
  return end != word.c_str() && (*end == '\0' || std::isspace(static_cast<unsigned char>(*end)) != 0);
}

std::optional<std::int64_t> signed_number(const std::string& word) {
  char* end = nullptr;
  errno = 0;
  const long long number = std::strtoll(word.c_str(), &end, 10);
  if (errno == ERANGE || !ends_well(word, end)) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> unsigned_number(const std::string& word) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long number = std::strtoull(word.c_str(), &end, 10);
  if (errno == ERANGE || !ends_well(word, end)) return std::nullopt;
  const bool minus = word.find('-') < static_cast<std::size_t>(end - word.c_str());
  if (minus && static_cast<long long>(number) < 0) return std::nullopt;
  return number;
}

// exptime is cut to 32 bits; beyond 30 days it is a date.
std::optional<bool> has_expired(const std::string& word) {
  const auto number = signed_number(word);
  if (!number) return std::nullopt;
  const auto exptime = static_cast<std::int32_t>(*number);
  return exptime < 0 || (exptime > 30 * 24 * 60 * 60 && exptime <= now);
}

std::optional<std::string> flags_of(const std::string& word) {
  const auto number = unsigned_number(word);
  if (!number) return std::nullopt;
  return std::to_string(static_cast<std::uint32_t>(*number));
}

bool fits(std::string_view key, std::string_view flags, std::size_t bytes) {
  const std::size_t suffix = std::string_view("  \r\n").size() + flags.size() + std::to_string(bytes).size();
  return item_header + key.size() + suffix + bytes + std::string_view("\r\n").size() <= item_size_max;
}

// The number at the beginning of a value, as strtoull reads it; but no minus sign.
std::optional<std::uint64_t> counter_value(const std::string& value) {
  const std::size_t begin = value.find_first_not_of(" \t\n\v\f\r");
  if (begin == std::string::npos || value[begin] == '-') return std::nullopt;
  return unsigned_number(value);
}

bool is_get(std::string_view line) {
  const std::size_t blanks = std::min(line.find_first_not_of(' '), line.size());
  return blanks <= 100 && (line.substr(blanks).starts_with("get ") || line.substr(blanks).starts_with("gets "));
}

}  // namespace

// ---- the client's side ----

void model::sent(std::string_view bytes) {
  all_sent_ += bytes;
  for (const char c : bytes) {
    if (will_end_) return;
    input_ += c;
    if (upload_) {
      receive_value();
    } else {
      receive_line();
    }
  }
}

void model::receive_value() {
  if (!upload_->refused) upload_->value += input_;
  input_.clear();
  if (--upload_->missing == 0) finish_upload();
}

// A line that is long enough for the server to give up on may come whole before it sees that.
void model::receive_line() {
  if (!input_.ends_with('\n')) {
    if (input_.size() > (is_get(input_) ? longest_get : longest_line)) may_end();
    return;
  }
  std::string line = std::exchange(input_, {});
  line.pop_back();
  if (line.ends_with('\r')) line.pop_back();
  line_may_end_ = false;
  run_line(line);
}

void model::may_end() {
  if (!line_may_end_) parts_.push_back({part::kind::may_end});
  line_may_end_ = true;
}

const std::map<std::string, model::command, std::less<>>& model::commands() {
  static const std::map<std::string, command, std::less<>> table{
      {"get", {&model::get, 2, no_limit}},      {"gets", {&model::get, 2, no_limit}},
      {"bget", {&model::get, 2, no_limit}},     {"set", {&model::update, 5, 6}},
      {"add", {&model::update, 5, 6}},          {"replace", {&model::update, 5, 6}},
      {"append", {&model::update, 5, 6}},       {"prepend", {&model::update, 5, 6}},
      {"cas", {&model::update, 6, 7}},          {"incr", {&model::arithmetic, 3, 4}},
      {"decr", {&model::arithmetic, 3, 4}},     {"delete", {&model::remove, 2, 4}},
      {"touch", {&model::touch, 3, 4}},         {"flush_all", {&model::flush_all, 1, 3}},
      {"verbosity", {&model::verbosity, 2, 3}}, {"stats", {&model::stats, 1, no_limit}},
      {"version", {&model::version, 1, 1}},     {"shutdown", {&model::shutdown, 1, no_limit}},
      {"quit", {&model::quit, 1, 1}},
  };
  return table;
}

void model::run_line(std::string_view line) {
  const std::vector<std::string> w = split(line);
  const auto found = commands().find(w[0]);
  quiet_ = false;
  if (found == commands().end() || w.size() < found->second.fewest || w.size() > found->second.most) {
    return say("ERROR");
  }
  const bool may_be_quiet = found->second.most != no_limit;
  quiet_ = may_be_quiet && w.size() > (w[0] == "delete" ? 2u : 1u) && w.back() == "noreply";
  (this->*found->second.run)(w);
}

void model::get(words w) {
  std::string reply;
  for (const std::string& key : w.subspan(1)) {
    if (key.size() > key_max_length) return say(bad_format);
    const auto found = items_.find(key);
    if (found == items_.end()) continue;
    const item& it = found->second;
    reply += "VALUE " + key + " " + it.flags + " " + std::to_string(it.value.size());
    if (w[0] == "gets") reply += " " + std::to_string(it.cas);
    reply += "\r\n" + it.value + "\r\n";
  }
  say(reply + "END");
}

void model::update(words w) {
  const std::string& key = w[1];
  const auto flags = flags_of(w[2]);
  const auto expired = has_expired(w[3]);
  const auto bytes = signed_number(w[4]);
  const auto cas = w[0] == "cas" ? unsigned_number(w[5]) : 0;
  if (key.size() > key_max_length || !flags || !expired || !bytes || !cas) return say(bad_format);
  if (*bytes < 0 || *bytes > INT32_MAX - 2) return say(bad_format);

  const auto length = static_cast<std::size_t>(*bytes);
  const bool refused = !fits(key, *flags, length);
  if (refused) {
    if (w[0] == "set") items_.erase(key);
    say(too_large);
  }
  upload_ = {w[0], key, *flags, *expired, *cas, refused, length + 2, {}};
}

void model::finish_upload() {
  const upload up = *std::exchange(upload_, std::nullopt);
  if (up.refused) return;
  if (!up.value.ends_with("\r\n")) return say("CLIENT_ERROR bad data chunk");

  const std::string value = up.value.substr(0, up.value.size() - 2);
  const auto found = items_.find(up.key);
  const bool exists = found != items_.end();
  if (up.mode == "append" || up.mode == "prepend") {
    if (!exists) return say("NOT_STORED");
    const item& old = found->second;
    const std::string joined = up.mode == "append" ? old.value + value : value + old.value;
    if (!fits(up.key, old.flags, joined.size())) return say(too_large);
    store(up.key, {old.flags, joined, 0}, false);
    return say("STORED");
  }
  if (up.mode == "cas" && !exists) return say("NOT_FOUND");
  if (up.mode == "cas" && found->second.cas != up.cas) return say("EXISTS");
  if (up.mode == "add" && exists) return say("NOT_STORED");
  if (up.mode == "replace" && !exists) return say("NOT_STORED");
  store(up.key, {up.flags, value, 0}, up.expired);
  say("STORED");
}

void model::store(const std::string& key, item it, bool expired) {
  it.cas = ++last_cas_;
  keys_.insert(key);
  if (expired) {
    items_.erase(key);
  } else {
    items_.insert_or_assign(key, std::move(it));
  }
}

// The new number takes as many bytes as the old one, or more: blanks make up for what it lacks.
void model::arithmetic(words w) {
  const auto delta = unsigned_number(w[2]);
  if (w[1].size() > key_max_length) return say(bad_format);
  if (!delta) return say("CLIENT_ERROR invalid numeric delta argument");
  const auto found = items_.find(w[1]);
  if (found == items_.end()) return say("NOT_FOUND");
  item& it = found->second;
  const auto number = counter_value(it.value);
  if (!number) return say("CLIENT_ERROR cannot increment or decrement non-numeric value");

  const std::uint64_t lower = *number < *delta ? 0 : *number - *delta;
  const std::string result = std::to_string(w[0] == "incr" ? *number + *delta : lower);
  it.value = result + std::string(it.value.size() - std::min(it.value.size(), result.size()), ' ');
  it.cas = ++last_cas_;
  say(result);
}

// The only thing that may stand between key and noreply is a 0.
void model::remove(words w) {
  const std::size_t times = w.size() - 2 - (quiet_ ? 1 : 0);
  if (times > 1 || (times == 1 && w[2] != "0"))
    return say(std::string(bad_format) + ".  Usage: delete <key> [noreply]");
  if (w[1].size() > key_max_length) return say(bad_format);
  say(items_.erase(w[1]) == 0 ? "NOT_FOUND" : "DELETED");
}

void model::touch(words w) {
  const auto expired = has_expired(w[2]);
  if (w[1].size() > key_max_length) return say(bad_format);
  if (!expired) return say(bad_exptime);
  const auto found = items_.find(w[1]);
  if (found == items_.end()) return say("NOT_FOUND");
  if (*expired) items_.erase(found);
  say("TOUCHED");
}

// A flush in the future never comes, as the clock stands still.
void model::flush_all(words w) {
  if (w.size() > (quiet_ ? 2u : 1u)) {
    const auto number = signed_number(w[1]);
    if (!number) return say(bad_exptime);
    const auto when = static_cast<std::int32_t>(*number);
    if (when > 0 && has_expired(w[1]) == false) return say("OK");
  }
  items_.clear();
  say("OK");
}

void model::verbosity(words w) { say(unsigned_number(w[1]) ? "OK" : bad_format); }

void model::stats(words w) {
  const std::string group = w.size() > 1 ? w[1] : "";
  if (group == "reset") return say("RESET");
  if (group == "detail") return stats_detail(w);
  if (group == "cachedump") return stats_cachedump(w);
  if (group == "conns") return list("ERROR\r\n");  // which only some chapters have
  const bool known = group.empty() || group == "settings" || group == "items" || group == "slabs" || group == "sizes";
  if (!known) return say("ERROR");
  list();
}

void model::stats_detail(words w) {
  const std::string order = w.size() > 2 ? w[2] : "";
  if (order == "dump") return list();
  say(order == "on" || order == "off" ? "OK" : "CLIENT_ERROR usage: stats detail on|off|dump");
}

void model::stats_cachedump(words w) {
  if (w.size() < 4) return say("CLIENT_ERROR bad command line");
  const auto slab_class = unsigned_number(w[2]);
  if (!slab_class || !unsigned_number(w[3])) return say(bad_format);
  if (static_cast<std::uint32_t>(*slab_class) > 63) return say("CLIENT_ERROR Illegal slab id");
  list();
}

void model::version(words) { say("VERSION 1.4.25"); }

void model::shutdown(words) { say("ERROR: shutdown not enabled"); }

void model::quit(words) {
  parts_.push_back({part::kind::end});
  will_end_ = true;
}

void model::say(std::string_view line) {
  if (!quiet_) parts_.push_back({part::kind::text, std::string(line) + "\r\n"});
}

std::string model::inventory() const {
  if (items_.empty()) return {};
  std::string line = "gets";
  for (const auto& [key, it] : items_) line += " " + key;
  return line + "\r\n";
}

std::optional<std::string> model::missing() const {
  if (upload_) {
    if (upload_->missing > most_sent_at_the_end) return std::nullopt;
    std::string rest(upload_->missing + 1, 'v');
    rest.replace(rest.size() - 2, 2, "\r\n");
    return rest.substr(1);  // of a value that lacks one byte, that is the \n
  }
  return input_.empty() ? "" : "\r\n";
}

// ---- the server's side ----

void model::heard(std::string_view bytes) {
  if (bytes.empty()) return;
  if (ended_) fail("silence, as it has hung up");
  all_heard_ += bytes;
  replies_ += bytes;
  while (!replies_.empty() && match()) continue;
}

// False: more must be heard first.
bool model::match() {
  if (parts_.empty()) fail("nothing");
  part& next = parts_.front();
  switch (next.what) {
    case part::kind::text: return match_text(next.text);
    case part::kind::listing: return match_line(next.text);
    case part::kind::may_end: parts_.pop_front(); return true;
    case part::kind::end: fail("that it hangs up");
  }
  std::abort();
}

bool model::match_text(std::string& text) {
  const std::size_t n = std::min(replies_.size(), text.size());
  if (replies_.compare(0, n, text, 0, n) != 0) fail(contract::printable_around(text, 0));
  replies_.erase(0, n);
  text.erase(0, n);
  if (text.empty()) parts_.pop_front();
  return true;
}

bool model::match_line(std::string_view instead) {
  const std::size_t newline = replies_.find('\n');
  if (newline == std::string::npos) return false;
  const std::string_view line = std::string_view(replies_).substr(0, newline + 1);
  const bool last = line == "END\r\n" || line == instead;
  const bool statistic = line.starts_with("STAT ") || line.starts_with("ITEM ") || line.starts_with("PREFIX ");
  if (!last && !(statistic && line.ends_with("\r\n"))) fail("a line of statistics");
  replies_.erase(0, newline + 1);
  if (last) parts_.pop_front();
  return true;
}

void model::heard_end() {
  if (ended_) return;
  const bool expected =
      !parts_.empty() && (parts_.front().what == part::kind::may_end || parts_.front().what == part::kind::end);
  if (!expected || !replies_.empty()) fail(parts_.empty() ? "that it stays" : "more, and not that it hangs up");
  ended_ = will_end_ = true;
}

void model::check_at_rest() const {
  if (ended_) return;
  for (const part& p : parts_) {
    switch (p.what) {
      case part::kind::text: fail(contract::printable_around(p.text, 0));
      case part::kind::listing: fail("statistics");
      case part::kind::end: fail("that it hangs up");
      case part::kind::may_end: break;
    }
  }
  if (line_may_end_) fail("that it gives up on a line without end");
}

void model::fail(std::string_view what) const {
  const std::size_t right = all_heard_.size() - replies_.size();
  std::fprintf(stderr,
               "\nThe client sent %zu bytes:\n  %s\n"
               "The server answered %zu bytes, of which %zu are right. There it says:\n  %s\n"
               "Expected there:\n  %s\n",
               all_sent_.size(), contract::printable(all_sent_).c_str(), all_heard_.size(), right,
               contract::printable_around(replies_, 0).c_str(), std::string(what).c_str());
  std::abort();
}

}  // namespace fuzz
