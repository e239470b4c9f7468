// What a process counts about itself, as lines of the reply to "stats".
#include "common/settings/stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace {

[[nodiscard]] std::string text(std::uint64_t n) { return std::to_string(n); }
[[nodiscard]] std::string text(const shared_counter& n) { return std::to_string(n.value()); }
[[nodiscard]] std::string_view yes_no(bool b) { return b ? "yes" : "no"; }

// "0.012345"
[[nodiscard]] std::string text(const timeval& t) {
  const std::string micros = std::to_string(t.tv_usec);
  return std::to_string(t.tv_sec) + "." + std::string(6 - micros.size(), '0') + micros;
}

template <typename number>
[[nodiscard]] std::string formatted(const char* format, number n) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, format, n);
  return buffer;
}

[[nodiscard]] std::string or_null(const std::string& value) { return value.empty() ? "NULL" : value; }

[[nodiscard]] std::string joined(const std::vector<std::string>& list) {
  std::string all;
  for (const std::string& one : list) all += (all.empty() ? "" : ",") + one;
  return all;
}

[[nodiscard]] std::string_view prot_text(binding_protocol protocol) {
  switch (protocol) {
    case binding_protocol::ascii: return "ascii";
    case binding_protocol::binary: return "binary";
    case binding_protocol::negotiating: return "auto-negotiate";
  }
  return "";
}

}  // namespace

void stats::reset() noexcept {
  for (shared_counter* n : {&total_conns, &rejected_conns, &listen_disabled_num, &time_in_listen_disabled_us}) {
    n->set(0);
  }
}

void add_process_stats(const add_stat& add, const process_clock& clock, std::string_view version,
                       std::string_view libevent) {
  const auto now = process_clock::monotonic::now();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  add("pid", std::to_string(getpid()));
  add("uptime", std::to_string(clock.uptime(now)));
  add("time", std::to_string(clock.time(now)));
  add("version", version);
  add("libevent", libevent);
  add("pointer_size", text(8 * sizeof(void*)));
  add("rusage_user", text(usage.ru_utime));
  add("rusage_system", text(usage.ru_stime));
}

void add_connection_stats(const add_stat& add, const stats& st, const settings& s) {
  // The listeners are connections, too, and memcached takes one off.
  add("curr_connections", text(std::max<std::uint64_t>(st.curr_conns.value(), 1) - 1));
  add("total_connections", text(st.total_conns));
  if (s.maxconns_fast) add("rejected_connections", text(st.rejected_conns));
  add("connection_structures", text(st.conn_structs));
  add("reserved_fds", text(st.reserved_fds));
}

void add_traffic_stats(const add_stat& add, const traffic_counts& traffic, const stats& st, const settings& s) {
  add("bytes_read", text(traffic.bytes_read));
  add("bytes_written", text(traffic.bytes_written));
  add("limit_maxbytes", text(s.maxbytes));
  add("accepting_conns", st.accepting_conns.load(std::memory_order_relaxed) ? "1" : "0");
  add("listen_disabled_num", text(st.listen_disabled_num));
  add("time_in_listen_disabled_us", text(st.time_in_listen_disabled_us));
  add("threads", std::to_string(s.num_threads));
  add("conn_yields", text(traffic.conn_yields));
}

void add_settings_stats(const add_stat& add, const settings& s, unsigned verbosity, bool detail) {
  add("maxbytes", text(s.maxbytes));
  add("maxconns", std::to_string(s.maxconns));
  add("tcpport", std::to_string(s.port));
  add("udpport", std::to_string(s.udpport));
  add("inter", or_null(joined(s.inter)));
  add("verbosity", text(verbosity));
  add("oldest", "0");
  add("evictions", s.evict_to_free ? "on" : "off");
  add("domain_socket", or_null(s.socketpath));
  add("umask", formatted("%o", static_cast<unsigned>(s.access)));
  add("growth_factor", formatted("%.2f", s.factor));
  add("chunk_size", text(s.chunk_size));
  add("num_threads", std::to_string(s.num_threads));
  add("num_threads_per_udp", std::to_string(s.num_threads));
  add("stat_key_prefix", ":");
  add("detail_enabled", yes_no(detail));
  add("reqs_per_event", std::to_string(s.reqs_per_event));
  add("cas_enabled", yes_no(s.use_cas));
  add("tcp_backlog", std::to_string(s.backlog));
  add("binding_protocol", prot_text(s.protocol));
  add("auth_enabled_sasl", "no");
  add("item_size_max", text(s.item_size_max));
  add("maxconns_fast", yes_no(s.maxconns_fast));
  add("hashpower_init", text(s.hashpower_init));
  add("slab_reassign", "no");
  add("slab_automove", "0");
  add("lru_crawler", "no");
  add("lru_crawler_sleep", "0");
  add("lru_crawler_tocrawl", "0");
  add("tail_repair_time", "0");
  add("flush_enabled", yes_no(s.flush_enabled));
  add("hash_algorithm", "xxh3");
  add("lru_maintainer_thread", "no");
  add("hot_lru_pct", "0");
  add("warm_lru_pct", "0");
  add("expirezero_does_not_evict", "no");
}
