// --trace FILE: the rings, and the thread that empties them.
#include "common/trace/trace_file.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>
#include <system_error>
#include <utility>

#include "common/trace/deaf_while_alive.h"

namespace {

using kind = trace_event::kind;

[[nodiscard]] std::int64_t now() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Whether it comes with every request. The others, once or twice per connection, keep a part of the ring for
// themselves: without them one would not know any more who is there.
[[nodiscard]] bool is_frequent(kind what) noexcept {
  switch (what) {
    case kind::command:
    case kind::reply:
    case kind::item:
    case kind::woken:
    case kind::asleep:
    case kind::call:
    case kind::state:
    case kind::request:
    case kind::fragment:
    case kind::forwarded:
    case kind::response:
    case kind::answered: return true;
    case kind::listening:
    case kind::opened:
    case kind::closed:
    case kind::dispatched:
    case kind::pushed:
    case kind::popped:
    case kind::byte_written:
    case kind::byte_read:
    case kind::muted:
    case kind::heard_again:
    case kind::timer:
    case kind::registered:
    case kind::given_back:
    case kind::problem:
    case kind::connecting:
    case kind::connected:
    case kind::timed_out:
    case kind::ejected:
    case kind::returned: return false;
  }
  return false;
}

std::atomic<std::uint64_t> files = 0;

}  // namespace

trace_file::ear::ear()
    : tid(gettid()),
      name(tracer::name_of_this_thread().empty() ? program_invocation_short_name : tracer::name_of_this_thread()) {}

trace_file::trace_file(std::string path)
    : path_(std::move(path)),
      number_(++files),
      fd_(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)),
      json_(getpid(), program_invocation_short_name) {
  if (!fd_ || !put("[\n") || !put(json_.taken())) {
    throw std::system_error(errno, std::generic_category(), "write the trace " + path_);
  }
  const deaf_while_alive here;
  writer_ = std::jthread([this](std::stop_token stop) { write_all(std::move(stop)); });
}

trace_file::~trace_file() = default;

void trace_file::hear(const trace_event& e) noexcept {
  ear* const me = this_ear();
  if (me == nullptr) return;  // no memory for a ring: this thread has no track
  kept_event* const place = me->events.place(is_frequent(e.what) ? event_ring::size / 4 : 0);
  if (place == nullptr) {
    me->lost.store(me->lost.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return;
  }
  place->keep(e);
  place->lost = me->lost.exchange(0, std::memory_order_relaxed);
  place->time = now();
  place->order = order_.fetch_add(1, std::memory_order_relaxed);
  me->events.push();
}

trace_file::ear* trace_file::this_ear() noexcept try {
  thread_local std::uint64_t file = 0;
  thread_local ear* me = nullptr;
  if (file != number_) {
    auto made = std::make_unique<ear>();
    const std::scoped_lock hold(ears_lock_);
    me = ears_.emplace_back(std::move(made)).get();
    file = number_;
  }
  return me;
} catch (const std::bad_alloc&) {
  return nullptr;
}

void trace_file::write_all(std::stop_token stop) {
  using namespace std::chrono_literals;
  auto pause = 10ms;
  for (bool is_last = false; !is_last;) {
    {
      std::unique_lock hold(pause_lock_);
      pause_.wait_for(hold, stop, pause, [] { return false; });
    }
    is_last = stop.stop_requested();  // asked first: whatever has been heard before is there
    try {
      pause = draw_what_is_there() ? 1ms : 10ms;
      if (is_last) draw_end();
    } catch (const std::bad_alloc&) {
      give_up(ENOMEM);
    }
    write_drawn();
  }
  if (!failed_ && !put("]\n")) give_up(errno);
}

// In their order, as far as it is known: whoever has taken the next number may not have filled his place yet.
bool trace_file::draw_what_is_there() {
  const std::uint64_t before = next_;
  std::vector<ear*> all;
  {
    const std::scoped_lock hold(ears_lock_);
    for (const auto& each : ears_) all.push_back(each.get());
  }
  const auto is_next = [this](const ear* l) {
    const kept_event* const first = l->events.front();
    return first != nullptr && first->order == next_;
  };
  for (auto l = all.begin(); (l = std::ranges::find_if(all, is_next)) != all.end();) {
    ear& from = **l;
    for (; is_next(&from); ++next_) {
      const kept_event& e = *from.events.front();
      lost_ += e.lost;
      if (!failed_) timeline_.add(e.event(), {from.tid, from.name, e.time, e.lost});
      from.events.pop();
    }
    constexpr std::size_t enough = 1 << 16;
    if (json_.size() >= enough) write_drawn();
  }
  return next_ != before;
}

void trace_file::draw_end() {
  for (const auto& each : ears_) lost_ += each->lost;
  const std::int64_t time = now();
  timeline_.finish(time);
  json_.last(time, "the end: " + std::to_string(next_) + " events, " + std::to_string(lost_) + " lost");
}

void trace_file::write_drawn() {
  if (!failed_ && json_.size() > 0 && !put(json_.taken())) give_up(errno);
}

// Said without waiting for whoever reads stderr: at its end the server waits for this thread.
void trace_file::give_up(int error) noexcept {
  failed_ = true;
  (void)!ftruncate(fd_.get(), size_);  // to the last whole event
  char line[512];
  char buffer[128];
  const int length =
      std::snprintf(line, sizeof line, "%s: --trace %s: %s; nothing more is written\n", program_invocation_short_name,
                    path_.c_str(), strerror_r(error, buffer, sizeof buffer));
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (poll(&room, 1, 0) == 1) {
    (void)!write(STDERR_FILENO, line, std::min(sizeof line - 1, static_cast<std::size_t>(length)));
  }
}

bool trace_file::put(std::string_view text) noexcept {
  const auto size = static_cast<long long>(text.size());
  while (!text.empty()) {
    const ssize_t n = write(fd_.get(), text.data(), text.size());
    if (n == -1) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  size_ += size;
  return true;
}
