// A nutcracker.yml: the pools that a proxy serves. What it may hold, and the defaults, are nutcracker 0.5.0's; conf.cpp
// says where we are stricter or milder.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/hashkit/distribution.h"
#include "common/hashkit/hash.h"

namespace nutcracker {

struct endpoint {
  std::string host;        // a name or an address, "*" for all; of a unix socket its path, which begins with '/'
  std::uint16_t port = 0;  // a unix socket has none

  [[nodiscard]] bool is_unix() const noexcept { return host.starts_with('/'); }
};

// "127.0.0.1:11211", "/tmp/socket".
[[nodiscard]] std::string to_string(const endpoint& where);

struct listen_conf {
  endpoint where;              // port 0: one of the kernel's choice
  std::optional<mode_t> mode;  // of a unix socket's file; none: 0700
};

struct server_conf {
  endpoint where;            // looked up when somebody connects, not here
  std::string name;          // what ketama hashes: the name given, else "host:port", "host" at port 11211, "/path:"
  std::uint32_t weight = 1;  // at least 1
};

// Field names are the file's own keys.
struct pool_conf {
  std::string name;
  listen_conf listen;
  hashkit::hash_type hash = hashkit::hash_type::fnv1a_64;
  hashkit::distribution_type distribution = hashkit::distribution_type::ketama;
  std::string hash_tag;                              // "": none, else two characters
  std::optional<std::chrono::milliseconds> timeout;  // none, or 0 in the file: wait for ever
  int backlog = 512;
  std::uint32_t client_connections = 0;  // at a time; 0: no limit. nutcracker 0.5.0 reads it and forgets it
  bool preconnect = false;
  bool tcpkeepalive = false;
  bool auto_eject_hosts = false;
  std::uint32_t server_connections = 1;  // to each server, at least 1
  std::chrono::milliseconds server_retry_timeout{30'000};
  std::uint32_t server_failure_limit = 2;  // failures in a row before a server is ejected; 0 is as 1
  bool redis = false;                      // its servers and clients speak Redis' protocol, not memcached's
  std::string redis_auth;                  // what clients must say to the proxy, and it to servers. "": no password
  std::uint32_t redis_db = 0;              // which database of its servers; a pool of memcached's has none
  std::vector<server_conf> servers;        // at least one, in the order of the file; weights add up to less than 2^32
};

// What(): one line, "nutcracker.yml:7:12: 'timeout' wants a number of milliseconds, not 'abc'": file, line, column and
// reason. Without line and column where the file as a whole is meant.
struct conf_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Which protocols a proxy speaks. A file that wants another one is refused.
enum class protocols : unsigned char { memcached, memcached_and_redis };

// At least one pool, in the order of the file. Throws conf_error. Looks up the hosts of `listen`, which may take the
// time that the resolver takes: call before the loop starts. Source: twemproxy's README, "Configuration".
[[nodiscard]] std::vector<pool_conf> read_conf(const std::string& path, protocols spoken = protocols::memcached);

// The same for the text of a file; `file` is what errors call it.
[[nodiscard]] std::vector<pool_conf> parse_conf(std::string_view text, const std::string& file,
                                                protocols spoken = protocols::memcached);

}  // namespace nutcracker
