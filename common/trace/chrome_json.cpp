// Chrome's trace events as text.
#include "common/trace/chrome_json.h"

#include <charconv>
#include <iterator>
#include <string>
#include <utility>

namespace {

void add(std::string& text, std::int64_t number) {
  char digits[24];
  text.append(digits, std::to_chars(std::begin(digits), std::end(digits), number).ptr);
}

}  // namespace

chrome_json::chrome_json(int pid, std::string_view program) : pid_(pid) {
  open('M', "process_name");
  text_ += R"(,"args":{"name":")";
  text_ += program;
  text_ += "\"}";
  close();
}

void chrome_json::name_thread(int tid, std::string_view name) {
  open('M', "thread_name");
  number("tid", tid);
  text_ += R"(,"args":{"name":")";
  text_ += name;
  text_ += "\"}";
  close();
}

void chrome_json::begin(int tid, std::int64_t at, std::string_view name) {
  open('B', name);
  number("tid", tid);
  time("ts", at);
  close();
}

void chrome_json::end(int tid, std::int64_t at) {
  open('E', {});
  number("tid", tid);
  time("ts", at);
  close();
}

void chrome_json::begin(async_track on, std::int64_t at, std::string_view name) {
  open('b', name);
  track(on);
  time("ts", at);
  close();
}

void chrome_json::end(async_track on, std::int64_t at, std::string_view name) {
  open('e', name);
  track(on);
  time("ts", at);
  close();
}

void chrome_json::instant(async_track on, std::int64_t at, std::string_view name) {
  open('n', name);
  track(on);
  time("ts", at);
  close();
}

// An arrow is bound to a slice by its thread and time. 'f' takes the next slice, unless "bp" says the one around it.
void chrome_json::arrow(char phase, async_track flow, int tid, std::int64_t at) {
  open(phase, flow.category);
  number("tid", tid);
  track(flow);
  if (phase == 'f') text("bp", "e");
  time("ts", at);
  close();
}

void chrome_json::count(std::string_view counter, std::string_view what, std::int64_t at, std::int64_t value) {
  open('C', counter);
  time("ts", at);
  text_ += R"(,"args":{")";
  text_ += what;
  text_ += "\":";
  add(text_, value);
  text_ += '}';
  close();
}

void chrome_json::last(std::int64_t at, std::string_view what) {
  open('i', what);
  text("s", "g");
  time("ts", at);
  text_ += "}\n";
}

std::string chrome_json::taken() { return std::exchange(text_, {}); }

void chrome_json::open(char phase, std::string_view name) {
  text_ += R"({"ph":")";
  text_ += phase;
  text_ += '"';
  number("pid", pid_);
  if (!name.empty()) text("name", name);
}

void chrome_json::text(std::string_view key, std::string_view value) {
  text_ += ",\"";
  text_ += key;
  text_ += "\":\"";
  for (;;) {
    const auto plain = value.find_first_of("\"\\");
    text_ += value.substr(0, plain);
    if (plain == std::string_view::npos) break;
    text_ += '\\';
    text_ += value[plain];
    value.remove_prefix(plain + 1);
  }
  text_ += '"';
}

void chrome_json::number(std::string_view key, std::int64_t value) {
  text_ += ",\"";
  text_ += key;
  text_ += "\":";
  add(text_, value);
}

// The format counts in microseconds.
void chrome_json::time(std::string_view key, std::int64_t nanoseconds) {
  number(key, nanoseconds / 1000);
  const auto rest = static_cast<int>(nanoseconds % 1000);
  for (const char c : {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                       static_cast<char>('0' + rest % 10)}) {
    text_ += c;
  }
}

void chrome_json::track(async_track track) {
  text("cat", track.category);
  text("id", std::to_string(track.id));
}

void chrome_json::close() { text_ += "},\n"; }
