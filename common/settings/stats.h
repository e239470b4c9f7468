// What a process counts about itself, and its lines in the reply to "stats". Names and order are those of 1.4.25.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "common/basics/add_stat.h"
#include "common/basics/counters.h"
#include "common/settings/clock.h"
#include "common/settings/settings.h"

// What went through the connections, in bytes.
// Thread: a plain value.
struct traffic_counts {
  std::uint64_t bytes_read;
  std::uint64_t bytes_written;
  std::uint64_t conn_yields;  // connections gave way to others after -R requests
};

// The same while it is being counted, where all threads count in one place.
// Thread: any.
struct traffic_stats {
  shared_counter bytes_read;
  shared_counter bytes_written;
  shared_counter conn_yields;

  [[nodiscard]] traffic_counts counts() const noexcept {
    return {bytes_read.value(), bytes_written.value(), conn_yields.value()};
  }

  void reset() noexcept {
    for (shared_counter* counted : {&bytes_read, &bytes_written, &conn_yields}) counted->set(0);
  }
};

// One a process; memcached's own `struct stats`.
// Thread: any.
struct stats {
  shared_counter curr_conns;
  shared_counter total_conns;
  shared_counter conn_structs;  // connections allocated, in use or kept for reuse
  shared_counter reserved_fds;  // descriptors that workers hold for themselves
  shared_counter rejected_conns;
  shared_counter listen_disabled_num;
  shared_counter time_in_listen_disabled_us;
  std::atomic<bool> accepting_conns{true};

  // "stats reset": forgets what happened, keeps what is (open connections, reserved descriptors).
  void reset() noexcept;
};

// The reply to "stats" is add_process_stats, add_connection_stats, the commands' own counters, add_traffic_stats, and
// what the storage adds. All may throw std::bad_alloc. Source: protocol.txt, "General-purpose statistics".

// pid … rusage_system. `libevent` is what event_get_version() says.
void add_process_stats(const add_stat& add, const process_clock& clock, std::string_view version,
                       std::string_view libevent);
// curr_connections … reserved_fds; rejected_connections among them with -o maxconns_fast.
void add_connection_stats(const add_stat& add, const stats& st, const settings& s);
// bytes_read … conn_yields.
void add_traffic_stats(const add_stat& add, const traffic_counts& traffic, const stats& st, const settings& s);

// "stats settings". What this server lacks reads no, 0 or NULL. `verbosity` and `detail` ("stats detail on") are as
// they are now: commands may have changed them.
void add_settings_stats(const add_stat& add, const settings& s, unsigned verbosity, bool detail);
