// Statistics, and the thread that shows them.
#include "nc_stats.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <new>
#include <system_error>
#include <utility>

#include "common/json/json.h"
#include "common/net/sockets.h"

namespace {

constexpr std::string_view service = "nutcracker";
constexpr std::string_view version = "0.5.0";  // of the one whose numbers these are

template <typename Field>
std::size_t index(Field field) {
  return static_cast<std::size_t>(field);
}

// Counters and gauges add up; of timestamps the last one counts.
template <typename Codec, typename Values>
void fold(const Codec& codec, Values& from, Values& into) {
  for (std::size_t i = 0; i < codec.size(); ++i) {
    if (codec[i].type != stats_type::timestamp) {
      into[i] += from[i];
    } else if (from[i] != 0) {
      into[i] = from[i];
    }
    from[i] = 0;
  }
}

template <typename Codec, typename Values>
void append_values(std::string& text, const Codec& codec, const Values& values) {
  for (std::size_t i = 0; i < codec.size(); ++i) json::append_member(text, codec[i].name, values[i]);
}

}  // namespace

stats::stats(const std::string& address, int port, std::chrono::milliseconds interval, std::vector<stats_names> names)
    : names_(std::move(names)), interval_(interval) {
  for (const stats_names& pool : names_) {
    pool_numbers& zero = current_.emplace_back();
    zero.servers.resize(pool.servers.size());
  }
  shadow_ = sum_ = current_;
  socket_ = std::move(net::listen_tcp({address}, port, 64).front());
  wake_.reset(eventfd(0, EFD_CLOEXEC));
  if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void stats::start() {
  // The thread inherits the mask: signals are the loop's.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::jthread([this](std::stop_token stop) { event_loop_stats(std::move(stop)); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void stats::add(std::size_t pool, stats_pool_field field, std::int64_t by) noexcept {
  current_[pool].pool[index(field)] += by;
  updated_ = true;
}

void stats::add(std::size_t pool, std::size_t server, stats_server_field field, std::int64_t by) noexcept {
  current_[pool].servers[server][index(field)] += by;
  updated_ = true;
}

void stats::add_message(std::size_t pool, std::size_t server, stats_server_field field, std::size_t bytes,
                        std::int64_t by) noexcept {
  auto& counted = current_[pool].servers[server];
  counted[index(field)] += by;
  counted[index(field) + 1] += by * static_cast<std::int64_t>(bytes);
  updated_ = true;
}

void stats::stamp(std::size_t pool, std::size_t server, stats_server_field field) noexcept {
  using namespace std::chrono;
  const auto now = duration_cast<microseconds>(system_clock::now().time_since_epoch());
  current_[pool].servers[server][index(field)] = now.count();
  updated_ = true;
}

void stats::opened() noexcept {
  total_connections_.fetch_add(1, std::memory_order_relaxed);
  curr_connections_.fetch_add(1, std::memory_order_relaxed);
}

void stats::closed() noexcept { curr_connections_.fetch_sub(1, std::memory_order_relaxed); }

// The shadow comes back empty: the stats thread has emptied it. Release and acquire on the flag are what makes the
// numbers themselves visible to the other thread.
void stats::swap() noexcept {
  if (!updated_ || handed_over_.load(std::memory_order_acquire)) return;
  current_.swap(shadow_);
  updated_ = false;
  handed_over_.store(true, std::memory_order_release);
}

void stats::aggregate() noexcept {
  if (!handed_over_.load(std::memory_order_acquire)) return;
  for (std::size_t p = 0; p < shadow_.size(); ++p) {
    fold(stats_pool_codec, shadow_[p].pool, sum_[p].pool);
    for (std::size_t s = 0; s < shadow_[p].servers.size(); ++s) {
      fold(stats_server_codec, shadow_[p].servers[s], sum_[p].servers[s]);
    }
  }
  handed_over_.store(false, std::memory_order_release);
}

// Wakes when somebody asks, and once an interval to fetch what has gathered. Out of descriptors, it waits a while
// before it listens again: somebody would be asking all the time.
void stats::event_loop_stats(std::stop_token stop) noexcept {
  constexpr int while_out_of_descriptors = 100;  // ms
  const std::stop_callback wake(stop, [this] { eventfd_write(wake_.get(), 1); });
  std::array<pollfd, 2> watched{{{wake_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}}};
  for (bool listening = true; !stop.stop_requested();) {
    watched[1].revents = 0;
    poll(watched.data(), listening ? 2 : 1, listening ? static_cast<int>(interval_.count()) : while_out_of_descriptors);
    aggregate();
    listening = watched[1].revents == 0 || answer();
  }
}

// False: there was no descriptor for whoever asks.
bool stats::answer() noexcept {
  const net::unique_fd client(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
  // Whoever asks and does not read must not keep the others waiting for ever.
  const timeval patience{1, 0};
  setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  try {
    const std::string text = json();
    for (std::string_view left = text; !left.empty();) {
      const ssize_t n = send(client.get(), left.data(), left.size(), MSG_NOSIGNAL);
      if (n <= 0) break;
      left.remove_prefix(static_cast<std::size_t>(n));
    }
  } catch (const std::bad_alloc&) {  // it hears nothing
  }
  return true;
}

std::string stats::json() const {
  using namespace std::chrono;
  std::array<char, HOST_NAME_MAX + 1> host{};
  gethostname(host.data(), host.size() - 1);
  std::string text = "{";
  json::append_quoted(text, "service");
  text += ":\"" + std::string(service) + "\", ";
  json::append_quoted(text, "source");
  text += ":";
  json::append_quoted(text, host.data());
  text += ", \"version\":\"" + std::string(version) + "\", ";
  json::append_member(text, "uptime", duration_cast<seconds>(stoppable_clock::now() - start_).count());
  json::append_member(text, "timestamp", duration_cast<seconds>(system_clock::now().time_since_epoch()).count());
  json::append_member(text, "total_connections", total_connections_.load(std::memory_order_relaxed));
  json::append_member(text, "curr_connections", curr_connections_.load(std::memory_order_relaxed));
  for (std::size_t p = 0; p < names_.size(); ++p) {
    json::append_quoted(text, names_[p].pool);
    text += ": {";
    append_values(text, stats_pool_codec, sum_[p].pool);
    for (std::size_t s = 0; s < names_[p].servers.size(); ++s) {
      json::append_quoted(text, names_[p].servers[s]);
      text += ": {";
      append_values(text, stats_server_codec, sum_[p].servers[s]);
      json::close_object(text);
      text += ", ";
    }
    json::close_object(text);
    text += ", ";
  }
  json::close_object(text);
  return text + "\n";
}

std::string stats_description() {
  std::string text;
  const auto describe = [&text](std::string_view title, const auto& codec) {
    text += std::string(title) + ":\n";
    for (const stats_row& row : codec) {
      text +=
          "  " + std::string(row.name) + std::string(22 - row.name.size(), ' ') + std::string(row.description) + "\n";
    }
  };
  describe("of a pool", stats_pool_codec);
  text += "\n";
  describe("of a server", stats_server_codec);
  return text;
}
