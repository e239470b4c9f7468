// What a process counts about itself, and its lines in the reply to "stats". Names and order are those of 1.4.25.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "common/settings/clock.h"
#include "common/settings/settings.h"
#include "common/storage/store.h"

// A number that any thread may move and any may read. Relaxed: a statistic orders nothing.
// Thread: any.
class statistic {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  void subtract(std::uint64_t n = 1) noexcept { value_.fetch_sub(n, std::memory_order_relaxed); }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// What went through the connections.
// Thread: a plain value.
struct traffic_counts {
  std::uint64_t bytes_read;
  std::uint64_t bytes_written;
  std::uint64_t conn_yields;  // connections gave way to others after -R requests
};

// One a process; memcached's own `struct stats`.
// Thread: any.
struct stats {
  statistic curr_conns;
  statistic total_conns;
  statistic conn_structs;  // connections allocated, in use or kept for reuse
  statistic reserved_fds;  // descriptors that workers hold for themselves
  statistic rejected_conns;
  statistic listen_disabled_num;
  statistic time_in_listen_disabled_us;
  std::atomic<bool> accepting_conns{true};
  // The traffic of all threads, until each counts its own (chapter 09).
  statistic bytes_read;
  statistic bytes_written;
  statistic conn_yields;

  [[nodiscard]] traffic_counts traffic() const noexcept {
    return {bytes_read.value(), bytes_written.value(), conn_yields.value()};
  }

  // "stats reset": forgets what happened, keeps what is (open connections, reserved descriptors).
  void reset() noexcept;
};

// The reply to "stats" is add_process_stats, add_connection_stats, the commands' own counters, add_traffic_stats, and
// what the storage adds. All may throw std::bad_alloc. Source: protocol.txt, "General-purpose statistics".

// pid … rusage_system. `libevent` is what event_get_version() says.
void add_process_stats(const storage::add_stat& add, const process_clock& clock, std::string_view version,
                       std::string_view libevent);
// curr_connections … reserved_fds; rejected_connections among them with -o maxconns_fast.
void add_connection_stats(const storage::add_stat& add, const stats& st, const settings& s);
// bytes_read … conn_yields.
void add_traffic_stats(const storage::add_stat& add, const traffic_counts& traffic, const stats& st, const settings& s);

// "stats settings". What this server lacks reads no, 0 or NULL. `verbosity` and `detail` ("stats detail on") are as
// they are now: commands may have changed them.
void add_settings_stats(const storage::add_stat& add, const settings& s, unsigned verbosity, bool detail);
