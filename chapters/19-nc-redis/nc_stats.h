// Statistics, counted by the one thread that does the work, and shown by another one that does nothing else.
//
//     the loop            in between              the stats thread
//     current_  ──swap──> shadow_  ──aggregate──> sum_  ──JSON──> whoever connects
//
// Each of the three sets of numbers belongs to one thread at a time, and so none of them is locked or atomic: only the
// flag that says whose the shadow is. The price: the sum is behind, by up to an interval.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/basics/stoppable_clock.h"
#include "common/net/unique_fd.h"
#include "common/nutcracker/stats_names.h"

// What the JSON calls things.
struct stats_names {
  std::string pool;
  std::vector<std::string> servers;
};

// Owns: the stats thread and its socket. Thread: each part says whose it is.
class stats {
 public:
  // Listens. Port 0: one of the kernel's choice. The thread does not run yet. Throws std::system_error.
  stats(const std::string& address, int port, std::chrono::milliseconds interval, std::vector<stats_names> names);

  // Begins to answer; until the destructor.
  void start();

  // The loop. `by` may be negative where the field is a gauge.
  void add(std::size_t pool, stats_pool_field field, std::int64_t by = 1) noexcept;
  void add(std::size_t pool, std::size_t server, stats_server_field field, std::int64_t by = 1) noexcept;
  // A message, and in the field after that its bytes.
  void add_message(std::size_t pool, std::size_t server, stats_server_field field, std::size_t bytes,
                   std::int64_t by = 1) noexcept;
  void stamp(std::size_t pool, std::size_t server, stats_server_field field) noexcept;
  void opened() noexcept;  // a connection of any role
  void closed() noexcept;

  // The loop, once a turn: hands over what has been counted, if the last hand-over has been fetched.
  void swap() noexcept;

 private:
  struct pool_numbers {
    std::array<std::int64_t, stats_pool_codec.size()> pool{};
    std::vector<std::array<std::int64_t, stats_server_codec.size()>> servers;
  };
  using numbers = std::vector<pool_numbers>;

  void event_loop_stats(std::stop_token stop) noexcept;
  void aggregate() noexcept;
  [[nodiscard]] bool answer() noexcept;
  [[nodiscard]] std::string json() const;

  std::vector<stats_names> names_;
  std::chrono::milliseconds interval_;
  stoppable_clock::time_point start_ = stoppable_clock::now();
  net::unique_fd socket_;
  net::unique_fd wake_;  // an eventfd: ends the stats thread's sleep

  std::atomic<std::int64_t> total_connections_ = 0;
  std::atomic<std::int64_t> curr_connections_ = 0;

  numbers current_;                        // the loop's
  bool updated_ = false;                   // the loop's: there is something to hand over
  numbers shadow_;                         // of the one whose turn it is
  std::atomic<bool> handed_over_ = false;  // true: the stats thread's turn
  numbers sum_;                            // the stats thread's

  std::jthread thread_;  // declared last: it ends before anything that it uses is gone
};

// What -D prints.
[[nodiscard]] std::string stats_description();
