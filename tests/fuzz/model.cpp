// The comparison of what the server said with what it had to say.
#include "tests/fuzz/model.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/contract/harness/printable.h"

namespace fuzz {

// ---- the client's side ----

void model::sent(std::string_view bytes) {
  all_sent_ += bytes;
  for (const char c : bytes) {
    if (will_end_) return;
    input_ += c;
    receive();
  }
}

void model::expect_end() {
  parts_.push_back({part::kind::end});
  will_end_ = true;
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
    case part::kind::list: return match_list(next.text);
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

bool model::match_list(std::string_view instead) {
  const std::optional<entry> next = entry_of_list(replies_, instead);
  if (!next) return false;
  if (next->size == 0) fail("a statistic");
  replies_.erase(0, next->size);
  if (next->last) parts_.pop_front();
  return true;
}

void model::heard_end() {
  if (ended_) return;
  const bool expected = !parts_.empty() && parts_.front().what == part::kind::end;
  if (!expected || !replies_.empty()) fail(parts_.empty() ? "that it stays" : "more, and not that it hangs up");
  ended_ = will_end_ = true;
}

void model::check_at_rest() const {
  if (ended_) return;
  for (const part& p : parts_) {
    switch (p.what) {
      case part::kind::text: fail(contract::printable_around(p.text, 0));
      case part::kind::list: fail("statistics");
      case part::kind::end: fail("that it hangs up");
    }
  }
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
