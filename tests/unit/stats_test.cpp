// common/settings/stats.h: names, order and values of the lines.
#include "common/settings/stats.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace {

// What add_*_stats said.
// Owns: the lines.
struct lines {
  std::vector<std::pair<std::string, std::string>> all;

  [[nodiscard]] add_stat adder() {
    return [this](std::string_view name, std::string_view value) { all.emplace_back(name, value); };
  }
  [[nodiscard]] std::string names() const {
    std::string joined;
    for (const auto& [name, value] : all) joined += (joined.empty() ? "" : " ") + name;
    return joined;
  }
  [[nodiscard]] std::string operator[](std::string_view name) const {
    for (const auto& [n, value] : all) {
      if (n == name) return value;
    }
    return "(none)";
  }
};

}  // namespace

TEST_CASE("the process") {
  const process_clock clock(1'000'000'000, process_clock::monotonic::now() - std::chrono::seconds(3600));
  lines l;
  add_process_stats(l.adder(), clock, "1.4.25", "2.1.12");
  CHECK(l.names() == "pid uptime time version libevent pointer_size rusage_user rusage_system");
  CHECK(l["pid"] == std::to_string(getpid()));
  const long long uptime = std::stoll(l["uptime"]);
  CHECK(uptime >= 3600);
  CHECK(uptime < 3700);
  CHECK(l["time"] == std::to_string(1'000'000'000 + uptime));
  CHECK(l["version"] == "1.4.25");
  CHECK(l["libevent"] == "2.1.12");
  CHECK(l["pointer_size"] == std::to_string(8 * sizeof(void*)));
  // Seconds with six decimals.
  for (const char* name : {"rusage_user", "rusage_system"}) {
    const std::string time = l[name];
    CHECK_MESSAGE(time.find_first_not_of("0123456789.") == std::string::npos, time);
    CHECK_MESSAGE(time.size() - time.find('.') == 7, time);
  }
}

TEST_CASE("the connections") {
  stats st;
  st.curr_conns.add(4);
  st.curr_conns.subtract();
  st.total_conns.add(7);
  st.conn_structs.set(5);
  st.reserved_fds.set(20);
  st.rejected_conns.add();
  settings s;
  lines l;
  add_connection_stats(l.adder(), st, s);
  CHECK(l.names() == "curr_connections total_connections connection_structures reserved_fds");
  CHECK(l["curr_connections"] == "2");
  CHECK(l["total_connections"] == "7");
  CHECK(l["connection_structures"] == "5");
  CHECK(l["reserved_fds"] == "20");

  s.maxconns_fast = true;
  lines fast;
  add_connection_stats(fast.adder(), st, s);
  CHECK(fast.names() == "curr_connections total_connections rejected_connections connection_structures reserved_fds");
  CHECK(fast["rejected_connections"] == "1");
}

TEST_CASE("the traffic") {
  stats st;
  st.listen_disabled_num.add(2);
  st.time_in_listen_disabled_us.add(33);
  settings s;
  s.num_threads = 6;
  lines l;
  const traffic_counts traffic{.bytes_read = 10, .bytes_written = 20'000'000'000, .conn_yields = 4};
  add_traffic_stats(l.adder(), traffic, st, s);
  CHECK(
      l.names() ==
      "bytes_read bytes_written limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads "
      "conn_yields");
  CHECK(l["bytes_read"] == "10");
  CHECK(l["bytes_written"] == "20000000000");
  CHECK(l["limit_maxbytes"] == "67108864");
  CHECK(l["accepting_conns"] == "1");
  CHECK(l["listen_disabled_num"] == "2");
  CHECK(l["time_in_listen_disabled_us"] == "33");
  CHECK(l["threads"] == "6");
  CHECK(l["conn_yields"] == "4");

  st.accepting_conns = false;
  lines muted;
  add_traffic_stats(muted.adder(), traffic, st, s);
  CHECK(muted["accepting_conns"] == "0");
}

TEST_CASE("the traffic that the process itself counts") {
  traffic_stats traffic;
  traffic.bytes_read.add(1);
  traffic.bytes_written.add(2);
  traffic.conn_yields.add(3);
  CHECK(traffic.counts().bytes_read == 1);
  CHECK(traffic.counts().bytes_written == 2);
  CHECK(traffic.counts().conn_yields == 3);
  traffic.reset();
  CHECK(traffic.counts().bytes_read == 0);
  CHECK(traffic.counts().bytes_written == 0);
  CHECK(traffic.counts().conn_yields == 0);
}

TEST_CASE("stats settings") {
  lines l;
  add_settings_stats(l.adder(), settings{}, 0, false);
  CHECK(
      l.names() ==
      "maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask growth_factor chunk_size "
      "num_threads num_threads_per_udp stat_key_prefix detail_enabled reqs_per_event cas_enabled tcp_backlog "
      "binding_protocol auth_enabled_sasl item_size_max maxconns_fast hashpower_init slab_reassign slab_automove "
      "lru_crawler lru_crawler_sleep lru_crawler_tocrawl tail_repair_time flush_enabled hash_algorithm "
      "lru_maintainer_thread hot_lru_pct warm_lru_pct expirezero_does_not_evict");
  CHECK(l["inter"] == "NULL");
  CHECK(l["domain_socket"] == "NULL");
  CHECK(l["evictions"] == "on");
  CHECK(l["umask"] == "700");
  CHECK(l["detail_enabled"] == "no");
  CHECK(l["reqs_per_event"] == "20");
  CHECK(l["growth_factor"] == "1.25");
  CHECK(l["cas_enabled"] == "yes");
  CHECK(l["flush_enabled"] == "yes");
  CHECK(l["maxconns_fast"] == "no");
  CHECK(l["binding_protocol"] == "auto-negotiate");

  settings s;
  s.inter = {"127.0.0.1", "[::1]:2"};
  s.socketpath = "/tmp/x";
  s.evict_to_free = false;
  s.access = 0660;
  s.factor = 1.077;
  s.use_cas = false;
  s.flush_enabled = false;
  s.maxconns_fast = true;
  s.protocol = binding_protocol::binary;
  s.port = -1;
  s.reqs_per_event = 33;
  lines other;
  add_settings_stats(other.adder(), s, 2, true);
  CHECK(other["inter"] == "127.0.0.1,[::1]:2");
  CHECK(other["domain_socket"] == "/tmp/x");
  CHECK(other["evictions"] == "off");
  CHECK(other["umask"] == "660");
  CHECK(other["growth_factor"] == "1.08");
  CHECK(other["cas_enabled"] == "no");
  CHECK(other["flush_enabled"] == "no");
  CHECK(other["maxconns_fast"] == "yes");
  CHECK(other["binding_protocol"] == "binary");
  CHECK(other["tcpport"] == "-1");
  CHECK(other["verbosity"] == "2");
  CHECK(other["detail_enabled"] == "yes");
  CHECK(other["reqs_per_event"] == "33");
}

TEST_CASE("stats reset forgets what happened and keeps what is") {
  stats st;
  for (shared_counter* n : {&st.curr_conns, &st.total_conns, &st.conn_structs, &st.reserved_fds, &st.rejected_conns,
                            &st.listen_disabled_num, &st.time_in_listen_disabled_us}) {
    n->set(9);
  }
  st.reset();
  for (const shared_counter* n : {&st.curr_conns, &st.conn_structs, &st.reserved_fds}) CHECK(n->value() == 9);
  for (const shared_counter* n :
       {&st.total_conns, &st.rejected_conns, &st.listen_disabled_num, &st.time_in_listen_disabled_us}) {
    CHECK(n->value() == 0);
  }
}

TEST_CASE("the clock starts with the wall's, and counts what passes") {
  const process_clock now;
  CHECK(now.uptime() <= 1);
  CHECK(now.time() > 1'700'000'000);

  const process_clock::monotonic::time_point start{std::chrono::hours(1)};
  const process_clock clock(1000, start);
  CHECK(clock.time(start) == 1000);
  CHECK(clock.uptime(start + std::chrono::milliseconds(999)) == 0);
  CHECK(clock.time(start + std::chrono::milliseconds(1000)) == 1001);
  CHECK(clock.time(start + std::chrono::hours(2)) == 8200);
  CHECK(clock.uptime(start + std::chrono::hours(2)) == 7200);
}
