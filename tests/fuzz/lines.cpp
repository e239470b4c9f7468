// The commands of the text protocol as the model understands them.
#include "tests/fuzz/lines.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <tuple>
#include <utility>
#include <vector>

namespace fuzz {
namespace {

constexpr std::size_t no_limit = SIZE_MAX;
constexpr std::size_t longest_line = 1024;
constexpr std::size_t longest_get = 8u << 20;

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

// exptime is cut to 32 bits.
std::optional<bool> expired(const std::string& word) {
  const auto number = signed_number(word);
  if (!number) return std::nullopt;
  return has_expired(static_cast<std::int32_t>(*number));
}

// A key from the other protocol may hold anything.
bool fits_into_line(std::string_view key) { return key.find_first_of(std::string_view(" \n\0", 3)) == key.npos; }

bool is_get(std::string_view line) {
  const std::size_t blanks = std::min(line.find_first_not_of(' '), line.size());
  return blanks <= 100 && (line.substr(blanks).starts_with("get ") || line.substr(blanks).starts_with("gets "));
}

}  // namespace

void lines::receive() {
  if (upload_) {
    receive_value();
  } else {
    receive_line();
  }
}

void lines::receive_value() {
  if (!upload_->refused) upload_->update.value += input_;
  input_.clear();
  if (--upload_->missing == 0) finish_upload();
}

void lines::receive_line() {
  const bool whole = input_.ends_with('\n');
  std::string_view line = input_;
  if (whole) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > (is_get(line) ? longest_get : longest_line)) {
    quiet_ = false;  // whatever the command before was
    say("CLIENT_ERROR line too long");
    return expect_end();
  }
  if (!whole) return;
  const std::string complete(line);
  input_.clear();
  run_line(complete);
}

const std::map<std::string, lines::command, std::less<>>& lines::commands() {
  static const std::map<std::string, command, std::less<>> table{
      {"get", {&lines::get, 2, no_limit}},      {"gets", {&lines::get, 2, no_limit}},
      {"bget", {&lines::get, 2, no_limit}},     {"set", {&lines::update, 5, 6}},
      {"add", {&lines::update, 5, 6}},          {"replace", {&lines::update, 5, 6}},
      {"append", {&lines::update, 5, 6}},       {"prepend", {&lines::update, 5, 6}},
      {"cas", {&lines::update, 6, 7}},          {"incr", {&lines::arithmetic, 3, 4}},
      {"decr", {&lines::arithmetic, 3, 4}},     {"delete", {&lines::remove, 2, 4}},
      {"touch", {&lines::touch, 3, 4}},         {"flush_all", {&lines::flush_all, 1, 3}},
      {"verbosity", {&lines::verbosity, 2, 3}}, {"stats", {&lines::stats, 1, no_limit}},
      {"version", {&lines::version, 1, 1}},     {"shutdown", {&lines::shutdown, 1, no_limit}},
      {"quit", {&lines::quit, 1, 1}},
  };
  return table;
}

void lines::run_line(std::string_view line) {
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

void lines::get(words w) {
  std::string reply;
  for (const std::string& key : w.subspan(1)) {
    if (key.size() > key_max_length) return say(bad_format);
    const contents::item* const it = stored_.find(key);
    if (it == nullptr) continue;
    reply += "VALUE " + key + " " + std::to_string(it->flags) + " " + std::to_string(it->value.size());
    if (w[0] == "gets") reply += " " + std::to_string(it->cas);
    reply += "\r\n" + it->value + "\r\n";
  }
  say(reply + "END");
}

void lines::update(words w) {
  const std::string& key = w[1];
  const auto flags = unsigned_number(w[2]);
  const auto late = expired(w[3]);
  const auto bytes = signed_number(w[4]);
  const auto cas = w[0] == "cas" ? unsigned_number(w[5]) : 0;
  if (key.size() > key_max_length || !flags || !late || !bytes || !cas) return say(bad_format);
  if (*bytes < 0 || *bytes > INT32_MAX - 2) return say(bad_format);

  const auto length = static_cast<std::size_t>(*bytes);
  const contents::update u{
      .mode = w[0], .key = key, .flags = static_cast<std::uint32_t>(*flags), .expired = *late, .cas = *cas};
  const bool refused = !contents::fits(key, u.flags, length);
  if (refused) {
    if (w[0] == "set") std::ignore = stored_.remove(key, 0);
    say(too_large);
  }
  upload_ = {u, refused, length + 2};
}

void lines::finish_upload() {
  upload up = *std::exchange(upload_, std::nullopt);
  if (up.refused) return;
  std::string& value = up.update.value;
  if (!value.ends_with("\r\n")) return say("CLIENT_ERROR bad data chunk");
  value.resize(value.size() - 2);
  switch (stored_.store(up.update)) {
    case verdict::done: return say("STORED");
    case verdict::not_stored: return say("NOT_STORED");
    case verdict::exists: return say("EXISTS");
    case verdict::not_found: return say("NOT_FOUND");
    case verdict::too_large: return say(too_large);
    case verdict::not_a_number: std::abort();
  }
}

void lines::arithmetic(words w) {
  const auto delta = unsigned_number(w[2]);
  if (w[1].size() > key_max_length) return say(bad_format);
  if (!delta) return say("CLIENT_ERROR invalid numeric delta argument");
  std::uint64_t result = 0;
  switch (stored_.count(w[1], w[0] == "incr", *delta, 0, result)) {
    case verdict::done: return say(std::to_string(result));
    case verdict::not_found: return say("NOT_FOUND");
    case verdict::not_a_number: return say("CLIENT_ERROR cannot increment or decrement non-numeric value");
    case verdict::not_stored:
    case verdict::exists:
    case verdict::too_large: std::abort();
  }
}

// The only thing that may stand between key and noreply is a 0.
void lines::remove(words w) {
  const std::size_t times = w.size() - 2 - (quiet_ ? 1 : 0);
  if (times > 1 || (times == 1 && w[2] != "0"))
    return say(std::string(bad_format) + ".  Usage: delete <key> [noreply]");
  if (w[1].size() > key_max_length) return say(bad_format);
  say(stored_.remove(w[1], 0) == verdict::done ? "DELETED" : "NOT_FOUND");
}

void lines::touch(words w) {
  const auto late = expired(w[2]);
  if (w[1].size() > key_max_length) return say(bad_format);
  if (!late) return say(bad_exptime);
  if (stored_.find(w[1]) == nullptr) return say("NOT_FOUND");
  if (*late) std::ignore = stored_.remove(w[1], 0);
  say("TOUCHED");
}

// A flush in the future never comes, as the clock stands still.
void lines::flush_all(words w) {
  if (w.size() > (quiet_ ? 2u : 1u)) {
    const auto number = signed_number(w[1]);
    if (!number) return say(bad_exptime);
    const auto when = static_cast<std::int32_t>(*number);
    if (when > 0 && !has_expired(when)) return say("OK");
  }
  stored_.flush();
  say("OK");
}

void lines::verbosity(words w) { say(unsigned_number(w[1]) ? "OK" : bad_format); }

void lines::stats(words w) {
  const std::string group = w.size() > 1 ? w[1] : "";
  if (group == "reset") return say("RESET");
  if (group == "detail") return stats_detail(w);
  if (group == "cachedump") return stats_cachedump(w);
  if (group == "conns") return expect_list("ERROR\r\n");  // which only some chapters have
  const bool known = group.empty() || group == "settings" || group == "items" || group == "slabs" || group == "sizes";
  if (!known) return say("ERROR");
  expect_list();
}

void lines::stats_detail(words w) {
  const std::string order = w.size() > 2 ? w[2] : "";
  if (order == "dump") return expect_list();
  say(order == "on" || order == "off" ? "OK" : "CLIENT_ERROR usage: stats detail on|off|dump");
}

void lines::stats_cachedump(words w) {
  if (w.size() < 4) return say("CLIENT_ERROR bad command line");
  const auto slab_class = unsigned_number(w[2]);
  if (!slab_class || !unsigned_number(w[3])) return say(bad_format);
  if (static_cast<std::uint32_t>(*slab_class) > 63) return say("CLIENT_ERROR Illegal slab id");
  expect_list();
}

void lines::version(words) { say("VERSION 1.4.25"); }

void lines::shutdown(words) { say("ERROR: shutdown not enabled"); }

void lines::quit(words) { expect_end(); }

void lines::say(std::string_view line) {
  if (!quiet_) expect(std::string(line) + "\r\n");
}

std::optional<model::entry> lines::entry_of_list(std::string_view heard, std::string_view instead) const {
  const std::size_t newline = heard.find('\n');
  if (newline == std::string_view::npos) return std::nullopt;
  const std::string_view line = heard.substr(0, newline + 1);
  const bool last = line == "END\r\n" || line == instead;
  const bool statistic = line.starts_with("STAT ") || line.starts_with("ITEM ") || line.starts_with("PREFIX ");
  const bool right = last || (statistic && line.ends_with("\r\n"));
  return entry{right ? line.size() : 0, last};
}

std::string lines::last_question() const {
  std::string keys;
  for (const auto& [key, it] : stored_.items()) {
    if (fits_into_line(key)) keys += " " + key;
  }
  return (keys.empty() ? "" : "gets" + keys + "\r\n") + "version\r\n";
}

std::optional<std::string> lines::missing() const {
  if (upload_) {
    if (upload_->missing > most_sent_at_the_end) return std::nullopt;
    std::string rest(upload_->missing + 1, 'v');
    rest.replace(rest.size() - 2, 2, "\r\n");
    return rest.substr(1);  // of a value that lacks one byte, that is the \n
  }
  return input_.empty() ? "" : "\r\n";
}

}  // namespace fuzz
