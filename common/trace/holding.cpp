// Holds threads where they are.
#include "common/trace/holding.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/basics/stoppable_clock.h"

namespace {

[[nodiscard]] std::string_view this_thread() noexcept {
  const std::string_view name = tracer::name_of_this_thread();
  return name.empty() ? "main" : name;
}

// Whether the event is one that the rule means. The line is made only where all else fits.
[[nodiscard]] bool fits(const hold_rule& rule, const trace_event& e) {
  return (rule.thread.empty() || rule.thread == this_thread()) && rule.what.value_or(e.what) == e.what &&
         rule.sfd.value_or(e.sfd) == e.sfd && (rule.text.empty() || line_of(e).find(rule.text) != std::string::npos);
}

[[nodiscard]] std::string in_words(const hold_rule& rule) {
  std::string text = (rule.thread.empty() ? "any thread" : rule.thread) + " at ";
  text += rule.what ? kind_text(*rule.what) : "any event";
  if (rule.sfd) text += " of " + std::to_string(*rule.sfd);
  if (!rule.text.empty()) text += " with \"" + rule.text + "\"";
  if (rule.count > 1) text += ", " + std::to_string(rule.count) + " times";
  return text;
}

}  // namespace

holding::holding(std::function<void()> caught) : caught_(std::move(caught)) {}

holding::~holding() { let_go(); }

unsigned holding::hold(hold_rule rule) {
  const std::scoped_lock hold(lock_);
  entries_.push_back({.number = ++last_number_, .rule = std::move(rule)});
  update_watching();
  return last_number_;
}

bool holding::release(unsigned number) {
  const std::scoped_lock hold(lock_);
  const auto found = std::ranges::find(entries_, number, &entry::number);
  if (found == entries_.end()) return false;
  go_on(*found);
  entries_.erase(found);
  update_watching();
  return true;
}

void holding::release_all() {
  const std::scoped_lock hold(lock_);
  for (entry& each : entries_) go_on(each);
  entries_.clear();
  update_watching();
}

bool holding::step(unsigned number) {
  const std::scoped_lock hold(lock_);
  const auto found = std::ranges::find(entries_, number, &entry::number);
  if (found == entries_.end() || !found->holds) return false;
  found->rule = {.thread = found->holds->thread};
  go_on(*found);
  return true;
}

void holding::let_go() {
  {
    const std::scoped_lock hold(lock_);
    is_over_ = true;
  }
  release_all();
}

bool holding::knows(unsigned number) const {
  const std::scoped_lock hold(lock_);
  return find(number) != nullptr;
}

std::optional<held_thread> holding::held(unsigned number) const {
  const std::scoped_lock hold(lock_);
  const entry* const found = find(number);
  return found == nullptr ? std::nullopt : found->holds;
}

std::vector<std::string> holding::where() const {
  const std::scoped_lock hold(lock_);
  std::vector<std::string> lines;
  for (const entry& each : entries_) {
    const std::string number = std::to_string(each.number) + ": ";
    lines.push_back(each.holds ? number + each.holds->thread + " is held at " +
                                     std::string(kind_text(each.holds->what)) + ": " + each.holds->line
                               : number + "waits for " + in_words(each.rule));
  }
  return lines;
}

void holding::hear(const trace_event& e) {
  if (!watching_.load(std::memory_order_relaxed)) return;
  std::unique_lock hold(lock_);
  if (entry* const by = catching(e)) wait_at(e, *by, hold);
}

bool holding::hear_timer(const trace_event& e) {
  if (!watching_.load(std::memory_order_relaxed)) return true;
  std::unique_lock hold(lock_);
  entry* const by = catching(e);
  if (by == nullptr) return held_ == 0;
  wait_at(e, *by, hold);
  return true;
}

// The rule that catches this thread here.
holding::entry* holding::catching(const trace_event& e) {
  if (is_over_) return nullptr;
  for (entry& each : entries_) {
    const bool is_meant = each.only == std::thread::id{} || each.only == std::this_thread::get_id();
    if (each.holds || !is_meant || !fits(each.rule, e)) continue;
    return --each.rule.count == 0 ? &each : nullptr;
  }
  return nullptr;
}

const holding::entry* holding::find(unsigned number) const {
  const auto found = std::ranges::find(entries_, number, &entry::number);
  return found == entries_.end() ? nullptr : &*found;
}

// `by` may be gone when this thread wakes.
void holding::wait_at(const trace_event& e, entry& by, std::unique_lock<std::mutex>& hold) {
  bool may_go_on = false;
  by.only = std::this_thread::get_id();
  by.holds = {std::string(this_thread()), e.what, e.sfd, e.number, line_of(e)};
  by.goes_on = &may_go_on;
  if (held_++ == 0) stoppable_clock::stop();
  caught_();
  released_.wait(hold, [&] { return may_go_on; });
}

// Whoever releases counts the thread as gone, and the time goes on: it is not left to when the thread wakes.
void holding::go_on(entry& from) {
  if (!from.holds) return;
  from.holds.reset();
  *from.goes_on = true;
  if (--held_ == 0) stoppable_clock::go_on();
  released_.notify_all();
}

void holding::update_watching() { watching_.store(!entries_.empty(), std::memory_order_relaxed); }
