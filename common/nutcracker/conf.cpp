// A nutcracker.yml: one table of its keys; yaml-cpp reads the YAML, we read the values.
//
// Milder than nutcracker 0.5.0:
// - all of YAML is read. nutcracker refuses "---", directives, [flow] and {flow}, anchors and tags token by token.
// - bytes that are not UTF-8 pass as they are.
// - `listen: '*:22121'` is all interfaces, as it reads. To nutcracker it is one of the loopback's.
// - `listen` may have port 0, so that a test need not guess a free one.
// Stricter:
// - numbers end at 2^31 - 1, the weights of a pool below 2^32. nutcracker counts on in 32 bits: 4294967297 is 1.
// - the mode of a unix socket is octal, and 0700 if none is given. nutcracker reads "abc" as 0, and nobody can connect.
// - a unix socket may be listened on once, whatever its mode. nutcracker's second pool takes the file from the first.
// - `servers` stands once and is a list. nutcracker takes one server without a dash if a list follows.
// - a server has a host, a path that fits into a socket's address, and no empty name.
// - a pool's name and a password are not ~ or null.
// - the file is not UTF-16, and a lone '\r' ends no line.
#include "common/nutcracker/conf.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <sstream>
#include <system_error>
#include <utility>

#include "common/basics/parsed.h"
#include "common/net/unique_fd.h"

namespace nutcracker {
namespace {

// --- Refusals -------------------------------------------------------------------------------------------------------
// What is thrown here knows its place but not the file: parse_conf puts that in front.

[[noreturn]] void refuse(const YAML::Mark& where, const std::string& what) {
  throw YAML::RepresentationException(where, what);
}

// In quotes, on one line and not too long, whatever the file holds.
[[nodiscard]] std::string quoted(std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  constexpr std::size_t enough = 60;
  std::string shown = "'";
  for (const char c : text.substr(0, enough)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f)
      shown += c;
    else
      shown += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
  }
  return shown + (text.size() > enough ? "...'" : "'");
}

[[nodiscard]] std::string shown(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar: return quoted(node.Scalar());
    case YAML::NodeType::Sequence: return "a list";
    case YAML::NodeType::Map: return "a map";
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null: return "an empty value";
  }
  return "";
}

[[nodiscard]] std::string listed(std::span<const std::string_view> names) {
  std::string all;
  for (const std::string_view name : names) all += (all.empty() ? "" : ", ") + std::string(name);
  return all;
}

// Names that may stand only once, and where each stood first.
class once {
 public:
  void add(const std::string& name, const YAML::Node& node, const std::string& what) {
    const auto [first, fresh] = lines_.emplace(name, node.Mark().line + 1);
    if (fresh) return;
    refuse(node.Mark(), what + " " + quoted(name) + " is in line " + std::to_string(first->second) + " already");
  }

 private:
  std::map<std::string, int> lines_;
};

// --- Values ---------------------------------------------------------------------------------------------------------

// One line of a pool.
struct setting {
  std::string key;
  YAML::Node value;
};

[[noreturn]] void wants(const setting& s, std::string_view what) {
  refuse(s.value.Mark(), quoted(s.key) + " wants " + std::string(what) + ", not " + shown(s.value));
}

[[nodiscard]] const std::string& text(const setting& s, std::string_view what) {
  if (!s.value.IsScalar()) wants(s, what);
  return s.value.Scalar();
}

constexpr std::uint32_t largest = std::numeric_limits<std::int32_t>::max();

// Digits and nothing else; no sign, no white space.
[[nodiscard]] std::optional<std::uint32_t> digits(std::string_view word, std::uint32_t low, std::uint32_t high,
                                                  int base = 10) {
  const auto n = parsed<std::uint32_t>(word, base);
  return n && *n >= low && *n <= high ? n : std::nullopt;
}

[[nodiscard]] std::string range(std::uint32_t low, std::uint32_t high) {
  return std::to_string(low) + " to " + std::to_string(high);
}

[[nodiscard]] std::uint32_t number(const setting& s, const std::string& what, std::uint32_t low = 0) {
  const std::string& word = text(s, what);
  const auto n = digits(word, low, largest);
  const bool numeric = !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
  if (!n) wants(s, numeric ? what + " (" + range(low, largest) + ")" : what);
  return *n;
}

[[nodiscard]] std::chrono::milliseconds milliseconds(const setting& s) {
  return std::chrono::milliseconds(number(s, "a number of milliseconds"));
}

[[nodiscard]] bool boolean(const setting& s) {
  constexpr std::string_view what = "true or false";
  const std::string& word = text(s, what);
  if (word != "true" && word != "false") wants(s, what);
  return word == "true";
}

[[nodiscard]] hashkit::hash_type hash_name(const setting& s) {
  const std::string what = "one of " + listed(hashkit::hash_names);
  const auto type = hashkit::hash_type_of(text(s, what));
  if (!type) wants(s, what);
  return *type;
}

[[nodiscard]] hashkit::distribution_type distribution_name(const setting& s) {
  const std::string what = "one of " + listed(hashkit::distribution_names);
  const auto type = hashkit::distribution_type_of(text(s, what));
  if (!type) wants(s, what);
  return *type;
}

[[nodiscard]] std::string two_characters(const setting& s) {
  constexpr std::string_view what = "two characters, such as \"{}\" in quotes";
  const std::string& tag = text(s, what);
  if (tag.size() != 2) wants(s, what);
  return tag;
}

[[nodiscard]] std::string password(const setting& s) {
  const std::string& word = text(s, "a password");
  if (word.empty()) wants(s, "a password");
  return word;
}

// --- Addresses ------------------------------------------------------------------------------------------------------

// Before and after the last `c`. nullopt: there is none.
[[nodiscard]] std::optional<std::pair<std::string, std::string>> split_at_last(const std::string& text, char c) {
  const auto at = text.rfind(c);
  if (at == std::string::npos) return std::nullopt;
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

[[nodiscard]] endpoint unix_socket(const YAML::Node& node, const std::string& path) {
  constexpr std::size_t room = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > room) {
    refuse(node.Mark(), "the path of a unix socket has at most " + std::to_string(room) + " bytes; this one has " +
                            std::to_string(path.size()));
  }
  return {path, 0};
}

[[nodiscard]] endpoint tcp_socket(const YAML::Node& node, const std::string& host, const std::string& port,
                                  std::uint32_t lowest_port) {
  constexpr std::uint32_t highest_port = 65535;
  if (host.empty()) refuse(node.Mark(), quoted(node.Scalar()) + " has no host before the port");
  const auto n = digits(port, lowest_port, highest_port);
  if (!n) {
    refuse(node.Mark(),
           quoted(node.Scalar()) + " wants a port (" + range(lowest_port, highest_port) + "), not " + quoted(port));
  }
  return {host, static_cast<std::uint16_t>(*n)};
}

// As nutcracker, which refuses a file whose hosts to listen on are unknown; those of servers it looks up later.
void look_up(const YAML::Node& node, const endpoint& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (error != 0) refuse(node.Mark(), "no host " + quoted(where.host) + " to listen on: " + gai_strerror(error));
  freeaddrinfo(found);
}

// "/path" or "/path mode", the mode behind the last space; else "host:port", the port behind the last colon, so that an
// IPv6 address needs no brackets.
[[nodiscard]] listen_conf listen_address(const setting& s) {
  constexpr std::string_view what = "host:port or /path [mode]";
  const std::string& value = text(s, what);
  if (value.starts_with('/')) {
    const auto parts = split_at_last(value, ' ');
    if (!parts) return {unix_socket(s.value, value), std::nullopt};
    const auto mode = digits(parts->second, 0, 0777, 8);
    if (!mode) refuse(s.value.Mark(), quoted(s.key) + " wants an octal mode (0 to 777), not " + quoted(parts->second));
    return {unix_socket(s.value, parts->first), *mode};
  }
  const auto parts = split_at_last(value, ':');
  if (!parts) wants(s, what);
  const endpoint where = tcp_socket(s.value, parts->first, parts->second, 0);
  look_up(s.value, where);
  return {where, std::nullopt};
}

// What a server is called that has no name: "host:port", but "host" alone at memcached's own port, as in libmemcached,
// and "/path:" for a unix socket, where nutcracker leaves the colon. Another name would put the keys elsewhere.
[[nodiscard]] std::string servers_name(const endpoint& where) {
  constexpr std::uint16_t memcached_port = 11211;
  if (where.is_unix()) return where.host + ":";
  return where.port == memcached_port ? where.host : to_string(where);
}

// From the end, as names may hold colons and hosts are IPv6 addresses: name, weight, port.
[[nodiscard]] server_conf server_line(const YAML::Node& node) {
  const std::string what = " is not a server: host:port:weight [name] or /path:weight [name]";
  if (!node.IsScalar()) refuse(node.Mark(), shown(node) + what);
  const std::string& value = node.Scalar();
  const auto with_name = split_at_last(value, ' ');
  if (with_name && with_name->second.empty()) refuse(node.Mark(), quoted(value) + " has a space but no name behind it");

  const auto with_weight = split_at_last(with_name ? with_name->first : value, ':');
  if (!with_weight) refuse(node.Mark(), quoted(value) + what);
  const auto& [address, weight] = *with_weight;
  const auto with_port = split_at_last(address, ':');
  const bool is_unix = address.starts_with('/');
  if (is_unix == with_port.has_value()) refuse(node.Mark(), quoted(value) + what);

  const auto n = digits(weight, 1, largest);
  if (!n) {
    refuse(node.Mark(), quoted(value) + " wants a weight (" + range(1, largest) + "), not " + quoted(weight));
  }
  endpoint where = is_unix ? unix_socket(node, address) : tcp_socket(node, with_port->first, with_port->second, 1);
  std::string name = with_name ? with_name->second : servers_name(where);
  return {std::move(where), std::move(name), *n};
}

[[nodiscard]] std::vector<server_conf> server_list(const setting& s) {
  if (!s.value.IsSequence() || s.value.size() == 0) wants(s, "a list of servers, each after a dash");
  std::vector<server_conf> servers;
  once names;
  std::uint64_t weights = 0;
  for (const YAML::Node& node : s.value) {
    servers.push_back(server_line(node));
    names.add(servers.back().name, node, "the server name");
    weights += servers.back().weight;
    if (weights > std::numeric_limits<std::uint32_t>::max()) {
      refuse(node.Mark(), "the weights of the servers up to here add up to " + std::to_string(weights) +
                              ", and 4294967295 is the most");
    }
  }
  return servers;
}

// --- The keys of a pool ---------------------------------------------------------------------------------------------

struct key_row {
  std::string_view key;
  void (*set)(pool_conf& pool, const setting& s);
};

constexpr key_row keys[] = {
    {"listen", [](pool_conf& p, const setting& s) { p.listen = listen_address(s); }},
    {"hash", [](pool_conf& p, const setting& s) { p.hash = hash_name(s); }},
    {"hash_tag", [](pool_conf& p, const setting& s) { p.hash_tag = two_characters(s); }},
    {"distribution", [](pool_conf& p, const setting& s) { p.distribution = distribution_name(s); }},
    {"timeout",
     [](pool_conf& p, const setting& s) {
       if (const auto wait = milliseconds(s); wait.count() > 0) p.timeout = wait;
     }},
    {"backlog",
     [](pool_conf& p, const setting& s) { p.backlog = static_cast<int>(number(s, "a number of connections")); }},
    {"client_connections",
     [](pool_conf& p, const setting& s) { p.client_connections = number(s, "a number of connections"); }},
    {"preconnect", [](pool_conf& p, const setting& s) { p.preconnect = boolean(s); }},
    {"tcpkeepalive", [](pool_conf& p, const setting& s) { p.tcpkeepalive = boolean(s); }},
    {"auto_eject_hosts", [](pool_conf& p, const setting& s) { p.auto_eject_hosts = boolean(s); }},
    {"server_connections",
     [](pool_conf& p, const setting& s) { p.server_connections = number(s, "a number of connections", 1); }},
    {"server_retry_timeout", [](pool_conf& p, const setting& s) { p.server_retry_timeout = milliseconds(s); }},
    {"server_failure_limit",
     [](pool_conf& p, const setting& s) { p.server_failure_limit = number(s, "a number of failures"); }},
    {"servers", [](pool_conf& p, const setting& s) { p.servers = server_list(s); }},
    {"redis", [](pool_conf& p, const setting& s) { p.redis = boolean(s); }},
    {"redis_auth", [](pool_conf& p, const setting& s) { p.redis_auth = password(s); }},
    {"redis_db", [](pool_conf& p, const setting& s) { p.redis_db = number(s, "the number of a database"); }},
};

void set(pool_conf& pool, const setting& s, const YAML::Node& key) {
  const auto* const row = std::ranges::find(keys, s.key, &key_row::key);
  if (row == std::end(keys)) {
    std::vector<std::string_view> known;
    std::ranges::transform(keys, std::back_inserter(known), &key_row::key);
    refuse(key.Mark(), "unknown key " + quoted(s.key) + "; known are " + listed(known));
  }
  row->set(pool, s);
}

// Once all lines of the pool are read, which stand in any order.
void check_protocol(const pool_conf& p, const YAML::Node& settings, protocols spoken) {
  for (const std::string_view key : {"redis", "redis_auth", "redis_db"}) {
    const YAML::Node value = settings[std::string(key)];
    const bool is_wanted = key == "redis" ? p.redis : value.IsDefined();
    if (!is_wanted || spoken == protocols::memcached_and_redis) continue;
    refuse(value.Mark(), quoted(key) + " belongs to redis, and this proxy speaks memcached's protocol only");
  }
  if (!p.redis && !p.redis_auth.empty()) {
    refuse(settings["redis_auth"].Mark(), "'redis_auth' is for a pool with 'redis: true'");
  }
}

[[nodiscard]] const std::string& key_text(const YAML::Node& key, std::string_view what) {
  if (!key.IsScalar() || key.Scalar().empty()) {
    refuse(key.Mark(), std::string(what) + " wants a name, not " + shown(key));
  }
  return key.Scalar();
}

[[nodiscard]] pool_conf pool(const YAML::Node& name, const YAML::Node& settings, protocols spoken) {
  pool_conf p;
  p.name = key_text(name, "a pool");
  if (!settings.IsMap()) {
    refuse(name.Mark(),
           "pool " + quoted(p.name) + " wants lines such as \"listen: 127.0.0.1:22121\", not " + shown(settings));
  }
  once given;
  for (const auto& line : settings) {
    const setting s{key_text(line.first, "a key"), line.second};
    given.add(s.key, line.first, "the key");
    set(p, s, line.first);
  }
  check_protocol(p, settings, spoken);
  if (p.listen.where.host.empty()) refuse(name.Mark(), "pool " + quoted(p.name) + " has no 'listen'");
  if (p.servers.empty()) refuse(name.Mark(), "pool " + quoted(p.name) + " has no 'servers'");
  return p;
}

[[nodiscard]] std::vector<pool_conf> all_pools(const YAML::Node& file, protocols spoken) {
  std::vector<pool_conf> pools;
  once names, addresses;
  for (const auto& entry : file) {
    pools.push_back(pool(entry.first, entry.second, spoken));
    names.add(pools.back().name, entry.first, "the pool");
    const endpoint& where = pools.back().listen.where;
    if (where.is_unix() || where.port != 0) addresses.add(to_string(where), entry.second["listen"], "the address");
  }
  return pools;
}

// --- The file -------------------------------------------------------------------------------------------------------

// What YAML forbids and yaml-cpp lets through. A lone '\r' is a line's end to YAML and part of a word to yaml-cpp.
void check_characters(std::string_view file) {
  YAML::Mark here;
  for (std::size_t i = 0; i < file.size(); ++i) {
    const auto byte = static_cast<unsigned char>(file[i]);
    const bool white = file[i] == '\t' || file[i] == '\n' || file.substr(i, 2) == "\r\n";
    if ((byte < 0x20 && !white) || byte == 0x7f) {
      refuse(here, "a control character (byte " + std::to_string(byte) + "); this should be a text file");
    }
    ++here.column;
    if (file[i] == '\n') here.column = 0, ++here.line;
  }
}

// Refuses a second document. Not by YAML::LoadAll: yaml-cpp 0.7 ends a document at a ',' that fits nowhere, does not
// step over it, and so finds the next document there for ever.
class one_document : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& where) override {
    if (std::exchange(begun_, true)) refuse(where, "the YAML document ends here, and nothing may follow it");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  bool begun_ = false;
};

[[nodiscard]] YAML::Node only_document(const std::string& file) {
  std::istringstream stream(file);
  YAML::Parser parser(stream);
  one_document only;
  while (parser.HandleNextDocument(only)) {
  }
  const YAML::Node document = YAML::Load(file);
  if (document.IsNull()) refuse(YAML::Mark::null_mark(), "there are no pools in it");
  if (!document.IsMap() || document.size() == 0) {
    refuse(document.Mark(), "there should be pools here, each a name and a colon, not " + shown(document));
  }
  return document;
}

// yaml-cpp's words, but for the one fault that everybody makes.
[[nodiscard]] std::string syntax_error(std::string_view file, const YAML::ParserException& e) {
  for (int line = 0; line < e.mark.line; ++line) file.remove_prefix(file.find('\n') + 1);
  const auto indentation = file.substr(0, file.find_first_not_of(" \t"));
  if (indentation.find('\t') != std::string_view::npos) return "YAML is indented with spaces, not with tabs";
  return "this is not YAML: " + e.msg;
}

[[nodiscard]] conf_error error_in(const std::string& file, const YAML::Mark& where, const std::string& what) {
  if (where.is_null()) return conf_error(file + ": " + what);
  return conf_error(file + ":" + std::to_string(where.line + 1) + ":" + std::to_string(where.column + 1) + ": " + what);
}

[[nodiscard]] std::string contents(const std::string& path) {
  const auto check = [&path](bool worked) {
    if (!worked) throw conf_error(path + ": " + std::generic_category().message(errno));
  };
  const net::unique_fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  check(static_cast<bool>(file));
  std::string all;
  char buffer[4096];
  ssize_t n = 0;
  while ((n = read(file.get(), buffer, sizeof buffer)) > 0) all.append(buffer, static_cast<std::size_t>(n));
  check(n == 0);
  return all;
}

}  // namespace

std::string to_string(const endpoint& where) {
  return where.is_unix() ? where.host : where.host + ":" + std::to_string(where.port);
}

std::vector<pool_conf> parse_conf(std::string_view text, const std::string& file, protocols spoken) {
  try {
    check_characters(text);
    return all_pools(only_document(std::string(text)), spoken);
  } catch (const YAML::ParserException& e) {
    throw error_in(file, e.mark, syntax_error(text, e));
  } catch (const YAML::Exception& e) {
    throw error_in(file, e.mark, e.msg);
  }
}

std::vector<pool_conf> read_conf(const std::string& path, protocols spoken) {
  return parse_conf(contents(path), path, spoken);
}

}  // namespace nutcracker
