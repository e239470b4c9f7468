// common/nutcracker/conf.h: what each key means, and that a file with a fault is refused with the place and the reason.
#include "common/nutcracker/conf.h"

#include <doctest/doctest.h>

#include "tests/unit/support.h"

using namespace std::chrono_literals;
using nutcracker::conf_error;
using nutcracker::pool_conf;
using nutcracker::server_conf;

namespace {

[[nodiscard]] std::vector<pool_conf> parse(std::string_view text) { return nutcracker::parse_conf(text, "f.yml"); }

// "" if nothing is wrong.
[[nodiscard]] std::string refusal(std::string_view text) {
  return unit::thrown_text<conf_error>([&] { (void)parse(text); });
}

// A pool with a line of one's own, which is the fifth of the file.
[[nodiscard]] std::string with(const std::string& line) {
  return "p:\n  listen: 127.0.0.1:22121\n  servers:\n  - 127.0.0.1:11211:1\n  " + line + "\n";
}

// A pool that listens elsewhere, in the second line of the file.
[[nodiscard]] std::string listening(const std::string& where) {
  return "p:\n  listen: " + where + "\n  servers:\n  - 127.0.0.1:11211:1\n";
}

// A pool of other servers, from the fourth line of the file on.
[[nodiscard]] std::string of_servers(const std::vector<std::string>& servers) {
  std::string text = "p:\n  listen: 127.0.0.1:22121\n  servers:\n";
  for (const std::string& server : servers) text += "  - " + server + "\n";
  return text;
}

[[nodiscard]] pool_conf one_pool(const std::string& text) {
  const auto pools = parse(text);
  REQUIRE(pools.size() == 1);
  return pools[0];
}

[[nodiscard]] server_conf one_server(const std::string& line) {
  const auto servers = one_pool(of_servers({line})).servers;
  REQUIRE(servers.size() == 1);
  return servers[0];
}

}  // namespace

TEST_CASE("a pool that says little has nutcracker's defaults") {
  const pool_conf p = one_pool(with(""));
  CHECK(p.name == "p");
  CHECK(p.listen.where.host == "127.0.0.1");
  CHECK(p.listen.where.port == 22121);
  CHECK(!p.listen.where.is_unix());
  CHECK(!p.listen.mode);
  CHECK(p.hash == hashkit::hash_type::fnv1a_64);
  CHECK(p.distribution == hashkit::distribution_type::ketama);
  CHECK(p.hash_tag.empty());
  CHECK(!p.timeout);
  CHECK(p.backlog == 512);
  CHECK(p.client_connections == 0);
  CHECK(!p.preconnect);
  CHECK(!p.tcpkeepalive);
  CHECK(!p.auto_eject_hosts);
  CHECK(p.server_connections == 1);
  CHECK(p.server_retry_timeout == 30s);
  CHECK(p.server_failure_limit == 2);
  CHECK(p.servers.size() == 1);
}

TEST_CASE("each key sets its field") {
  for (std::size_t i = 0; i < hashkit::hash_names.size(); ++i) {
    const std::string name(hashkit::hash_names[i]);
    CHECK(one_pool(with("hash: " + name)).hash == static_cast<hashkit::hash_type>(i));
  }
  for (std::size_t i = 0; i < hashkit::distribution_names.size(); ++i) {
    const std::string name(hashkit::distribution_names[i]);
    CHECK(one_pool(with("distribution: " + name)).distribution == static_cast<hashkit::distribution_type>(i));
  }
  CHECK(one_pool(with("hash_tag: \"{}\"")).hash_tag == "{}");
  CHECK(one_pool(with("hash_tag: $$")).hash_tag == "$$");
  CHECK(one_pool(with("timeout: 400")).timeout == 400ms);
  CHECK(!one_pool(with("timeout: 0")).timeout);
  CHECK(one_pool(with("backlog: 1024")).backlog == 1024);
  CHECK(one_pool(with("client_connections: 7")).client_connections == 7);
  CHECK(one_pool(with("preconnect: true")).preconnect);
  CHECK(!one_pool(with("preconnect: false")).preconnect);
  CHECK(one_pool(with("tcpkeepalive: true")).tcpkeepalive);
  CHECK(one_pool(with("auto_eject_hosts: true")).auto_eject_hosts);
  CHECK(one_pool(with("server_connections: 2")).server_connections == 2);
  CHECK(one_pool(with("server_retry_timeout: 2000")).server_retry_timeout == 2s);
  CHECK(one_pool(with("server_failure_limit: 3")).server_failure_limit == 3);
  CHECK(one_pool(with("redis: false")).servers.size() == 1);
}

TEST_CASE("numbers: digits, in quotes or not, up to 2^31 - 1") {
  CHECK(one_pool(with("timeout: 2147483647")).timeout == 2147483647ms);
  CHECK(one_pool(with("timeout: 007")).timeout == 7ms);
  CHECK(one_pool(with("timeout: '5'")).timeout == 5ms);
  CHECK(refusal(with("timeout: abc")) == "f.yml:5:12: 'timeout' wants a number of milliseconds, not 'abc'");
  for (const char* bad : {"-1", "+1", "-0", "1.5", "1e3", "0x10", "5 6", "true", "''"}) {
    CHECK(refusal(with("timeout: " + std::string(bad))).starts_with("f.yml:5:12: 'timeout' wants"));
  }
  CHECK(refusal(with("timeout:")) == "f.yml:6:1: 'timeout' wants a number of milliseconds, not an empty value");
  CHECK(refusal(with("timeout: 2147483648")) ==
        "f.yml:5:12: 'timeout' wants a number of milliseconds (0 to 2147483647), not '2147483648'");
  CHECK(refusal(with("backlog: 99999999999999999999")) ==
        "f.yml:5:12: 'backlog' wants a number of connections (0 to 2147483647), not '99999999999999999999'");
  CHECK(refusal(with("server_connections: 0")) ==
        "f.yml:5:23: 'server_connections' wants a number of connections (1 to 2147483647), not '0'");
}

TEST_CASE("other values") {
  CHECK(refusal(with("preconnect: yes")) == "f.yml:5:15: 'preconnect' wants true or false, not 'yes'");
  CHECK(refusal(with("preconnect: True")) == "f.yml:5:15: 'preconnect' wants true or false, not 'True'");
  CHECK(
      refusal(with("hash: MD5")) ==
      "f.yml:5:9: 'hash' wants one of one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, "
      "hsieh, murmur, jenkins, not 'MD5'");
  CHECK(refusal(with("distribution: modulo")) ==
        "f.yml:5:17: 'distribution' wants one of ketama, modula, random, not 'modulo'");
  CHECK(refusal(with("hash_tag: '{}}'")) ==
        "f.yml:5:13: 'hash_tag' wants two characters, such as \"{}\" in quotes, not '{}}'");
  CHECK(refusal(with("hash_tag: {}")) ==
        "f.yml:5:13: 'hash_tag' wants two characters, such as \"{}\" in quotes, not a map");
  CHECK(refusal(with("timeout: [1]")) == "f.yml:5:12: 'timeout' wants a number of milliseconds, not a list");
}

TEST_CASE("what belongs to redis is refused as such by a proxy that does not speak it") {
  const std::string why = " belongs to redis, and this proxy speaks memcached's protocol only";
  CHECK(refusal(with("redis: true")) == "f.yml:5:10: 'redis'" + why);
  CHECK(refusal(with("redis_auth: secret")) == "f.yml:5:15: 'redis_auth'" + why);
  CHECK(refusal(with("redis_db: 0")) == "f.yml:5:13: 'redis_db'" + why);
  CHECK(refusal(with("redis: no")) == "f.yml:5:10: 'redis' wants true or false, not 'no'");
  CHECK(refusal(with("redis: false")).empty());
}

TEST_CASE("redis, its password and its database") {
  const auto speaking = [](const std::string& line) {
    return nutcracker::parse_conf(with(line), "f.yml", nutcracker::protocols::memcached_and_redis).at(0);
  };
  const auto refused = [&](const std::string& line) {
    return unit::thrown_text<conf_error>([&] { (void)speaking(line); });
  };
  CHECK(!speaking("").redis);
  CHECK(!speaking("redis: false").redis);
  const pool_conf plain = speaking("redis: true");
  CHECK(plain.redis);
  CHECK(plain.redis_auth.empty());
  CHECK(plain.redis_db == 0);
  CHECK(speaking("redis_auth: a b\n  redis: true").redis_auth == "a b");
  CHECK(speaking("redis: true\n  redis_auth: 123").redis_auth == "123");
  CHECK(speaking("redis: true\n  redis_db: 15").redis_db == 15);
  CHECK(speaking("redis_db: 1").redis_db == 1);

  const std::string of_a_pool = " is for a pool with 'redis: true'";
  CHECK(refused("redis_auth: secret") == "f.yml:5:15: 'redis_auth'" + of_a_pool);
  CHECK(refused("redis: false\n  redis_auth: secret") == "f.yml:6:15: 'redis_auth'" + of_a_pool);
  CHECK(refused("redis: true\n  redis_auth: ''") == "f.yml:6:15: 'redis_auth' wants a password, not ''");
  CHECK(refused("redis: true\n  redis_auth: ~") == "f.yml:6:15: 'redis_auth' wants a password, not an empty value");
  CHECK(refused("redis: true\n  redis_auth: [a]") == "f.yml:6:15: 'redis_auth' wants a password, not a list");
  CHECK(refused("redis: true\n  redis_db: -1") == "f.yml:6:13: 'redis_db' wants the number of a database, not '-1'");
  CHECK(refused("redis: true\n  redis_db: 2147483648") ==
        "f.yml:6:13: 'redis_db' wants the number of a database (0 to 2147483647), not '2147483648'");
}

TEST_CASE("listen: host and port") {
  CHECK(one_pool(listening("localhost:1")).listen.where.host == "localhost");
  CHECK(one_pool(listening("127.0.0.1:65535")).listen.where.port == 65535);
  CHECK(one_pool(listening("127.0.0.1:0")).listen.where.port == 0);
  CHECK(one_pool(listening("::1:22121")).listen.where.host == "::1");
  CHECK(one_pool(listening("'*:22121'")).listen.where.host == "*");
  CHECK(refusal(listening("127.0.0.1")) == "f.yml:2:11: 'listen' wants host:port or /path [mode], not '127.0.0.1'");
  CHECK(refusal(listening("127.0.0.1:65536")) ==
        "f.yml:2:11: '127.0.0.1:65536' wants a port (0 to 65535), not '65536'");
  CHECK(refusal(listening("'127.0.0.1:'")) == "f.yml:2:11: '127.0.0.1:' wants a port (0 to 65535), not ''");
  CHECK(refusal(listening(":22121")) == "f.yml:2:11: ':22121' has no host before the port");
  CHECK(refusal(listening("no.such.host.invalid:1"))
            .starts_with("f.yml:2:11: no host 'no.such.host.invalid' to listen on: "));
}

TEST_CASE("listen: a unix socket and its mode") {
  const pool_conf plain = one_pool(listening("/tmp/x"));
  CHECK(plain.listen.where.is_unix());
  CHECK(plain.listen.where.host == "/tmp/x");
  CHECK(!plain.listen.mode);
  CHECK(one_pool(listening("/tmp/x 0666")).listen.mode == 0666);
  CHECK(one_pool(listening("/tmp/x 600")).listen.mode == 0600);
  CHECK(one_pool(listening("/tmp/x 0")).listen.mode == 0);
  CHECK(one_pool(listening("/tmp/a b 0777")).listen.where.host == "/tmp/a b");
  for (const std::string bad : {"888", "1777", "rw", "0666x", "-1"}) {
    CHECK(refusal(listening("/tmp/x " + bad)) ==
          "f.yml:2:11: 'listen' wants an octal mode (0 to 777), not '" + bad + "'");
  }
  CHECK(one_pool(listening("/" + std::string(106, 'a'))).listen.where.host.size() == 107);
  CHECK(refusal(listening("/" + std::string(107, 'a'))) ==
        "f.yml:2:11: the path of a unix socket has at most 107 bytes; this one has 108");
}

TEST_CASE("servers: address, weight and name") {
  const server_conf plain = one_server("127.0.0.1:11212:3");
  CHECK(plain.where.host == "127.0.0.1");
  CHECK(plain.where.port == 11212);
  CHECK(plain.weight == 3);
  CHECK(plain.name == "127.0.0.1:11212");
  CHECK(one_server("127.0.0.1:11211:1").name == "127.0.0.1");
  CHECK(one_server("127.0.0.1:11211:1 one").name == "one");
  CHECK(one_server("127.0.0.1:1:1 a:b:1").name == "a:b:1");
  CHECK(one_server("no.such.host.invalid:1:1").where.host == "no.such.host.invalid");
  CHECK(one_server("::1:11211:1").where.host == "::1");
  CHECK(one_server("h:1:2147483647").weight == 2147483647);

  const server_conf unix_server = one_server("/tmp/s:2");
  CHECK(unix_server.where.is_unix());
  CHECK(unix_server.where.host == "/tmp/s");
  CHECK(unix_server.weight == 2);
  CHECK(unix_server.name == "/tmp/s:");
  CHECK(one_server("/tmp/s:2 name").name == "name");
}

TEST_CASE("servers keep their order, and may differ by the name alone") {
  const auto servers = one_pool(of_servers({"h:3:1", "h:1:1", "h:2:1", "h:2:1 again"})).servers;
  REQUIRE(servers.size() == 4);
  CHECK(servers[0].where.port == 3);
  CHECK(servers[1].where.port == 1);
  CHECK(servers[2].where.port == 2);
  CHECK(servers[3].name == "again");
}

TEST_CASE("servers: what is wrong with a line") {
  const auto refused = [](const std::string& line) { return refusal(of_servers({line})); };
  const std::string form = " is not a server: host:port:weight [name] or /path:weight [name]";
  for (const std::string bad : {"127.0.0.1", "127.0.0.1:11211", "1", "/tmp/s", "/tmp/a:b:1", "/tmp/a b:1", "h h:1:1"}) {
    CHECK(refused(bad) == "f.yml:4:5: '" + bad + "'" + form);
  }
  CHECK(refused("a: b") == "f.yml:4:5: a map" + form);
  CHECK(refused("- h:1:1") == "f.yml:4:5: a list" + form);
  CHECK(refused("~") == "f.yml:4:5: an empty value" + form);
  CHECK(refused("h:0:1") == "f.yml:4:5: 'h:0:1' wants a port (1 to 65535), not '0'");
  CHECK(refused("h:65536:1") == "f.yml:4:5: 'h:65536:1' wants a port (1 to 65535), not '65536'");
  CHECK(refused("h:x:1") == "f.yml:4:5: 'h:x:1' wants a port (1 to 65535), not 'x'");
  CHECK(refused("h:1:0") == "f.yml:4:5: 'h:1:0' wants a weight (1 to 2147483647), not '0'");
  CHECK(refused("h:1:-1") == "f.yml:4:5: 'h:1:-1' wants a weight (1 to 2147483647), not '-1'");
  CHECK(refused("h:1:2147483648") == "f.yml:4:5: 'h:1:2147483648' wants a weight (1 to 2147483647), not '2147483648'");
  CHECK(refused("h:1:1  name") == "f.yml:4:5: 'h:1:1  name' wants a weight (1 to 2147483647), not '1 '");
  CHECK(refused("'h:1:1 '") == "f.yml:4:5: 'h:1:1 ' has a space but no name behind it");
  CHECK(refused(":1:1") == "f.yml:4:5: ':1:1' has no host before the port");
  CHECK(refused("/" + std::string(107, 'a') + ":1") ==
        "f.yml:4:5: the path of a unix socket has at most 107 bytes; this one has 108");
  CHECK(refusal(of_servers({"h:1:2147483647", "h:2:2147483647"})).empty());
  CHECK(refusal(of_servers({"h:1:2147483647", "h:2:2147483647", "h:3:2"})) ==
        "f.yml:6:5: the weights of the servers up to here add up to 4294967296, and 4294967295 is the most");
}

TEST_CASE("nothing stands twice") {
  CHECK(refusal(with("hash: md5\n  hash: md5")) == "f.yml:6:3: the key 'hash' is in line 5 already");
  CHECK(refusal(with("listen: /tmp/x")) == "f.yml:5:3: the key 'listen' is in line 2 already");
  CHECK(refusal(with("servers:\n  - h:1:1")) == "f.yml:5:3: the key 'servers' is in line 3 already");
  CHECK(refusal(of_servers({"h:1:1", "h:1:2"})) == "f.yml:5:5: the server name 'h:1' is in line 4 already");
  CHECK(refusal(of_servers({"h:11211:1", "h:1:1 h"})) == "f.yml:5:5: the server name 'h' is in line 4 already");
  CHECK(refusal(listening("/tmp/x") + listening("/tmp/y")) == "f.yml:5:1: the pool 'p' is in line 1 already");
  CHECK(refusal(listening("/tmp/x 600") + "q" + listening("/tmp/x 700")) ==
        "f.yml:6:11: the address '/tmp/x' is in line 2 already");
  CHECK(refusal(listening("127.0.0.1:1") + "q" + listening("127.0.0.1:01")) ==
        "f.yml:6:11: the address '127.0.0.1:1' is in line 2 already");
}

TEST_CASE("pools keep their order; the kernel's choice of a port is no address") {
  const auto pools = parse("z" + listening("127.0.0.1:0") + "a" + listening("127.0.0.1:0") + listening("/tmp/x"));
  REQUIRE(pools.size() == 3);
  CHECK(pools[0].name == "zp");
  CHECK(pools[1].name == "ap");
  CHECK(pools[2].name == "p");
}

TEST_CASE("what is missing, and what does not belong") {
  CHECK(refusal("p:\n  servers:\n  - h:1:1\n") == "f.yml:1:1: pool 'p' has no 'listen'");
  CHECK(refusal("# a pool\n\np:\n  listen: /tmp/x\n") == "f.yml:3:1: pool 'p' has no 'servers'");
  CHECK(refusal("p:\n  listen: /tmp/x\n  servers: h:1:1\n") ==
        "f.yml:3:12: 'servers' wants a list of servers, each after a dash, not 'h:1:1'");
  CHECK(refusal("p:\n  listen: /tmp/x\n  servers: []\n") ==
        "f.yml:3:12: 'servers' wants a list of servers, each after a dash, not a list");
  CHECK(refusal(with("tiemout: 5")) ==
        "f.yml:5:3: unknown key 'tiemout'; known are listen, hash, hash_tag, distribution, timeout, backlog, "
        "client_connections, preconnect, tcpkeepalive, auto_eject_hosts, server_connections, server_retry_timeout, "
        "server_failure_limit, servers, redis, redis_auth, redis_db");
  CHECK(refusal(with("? [a]\n  : b")) == "f.yml:5:5: a key wants a name, not a list");
  CHECK(refusal("p: x\n") == "f.yml:1:1: pool 'p' wants lines such as \"listen: 127.0.0.1:22121\", not 'x'");
  CHECK(refusal("p:\n") == "f.yml:1:1: pool 'p' wants lines such as \"listen: 127.0.0.1:22121\", not an empty value");
  CHECK(refusal("'':\n  listen: /tmp/x\n") == "f.yml:1:1: a pool wants a name, not ''");
}

TEST_CASE("the file as a whole") {
  for (const char* nothing : {"", "\n\n", "# only a comment\n", "~\n"}) {
    CHECK(refusal(nothing) == "f.yml: there are no pools in it");
  }
  CHECK(refusal("hello\n") == "f.yml:1:1: there should be pools here, each a name and a colon, not 'hello'");
  CHECK(refusal("- a\n") == "f.yml:1:1: there should be pools here, each a name and a colon, not a list");
  CHECK(refusal("{}") == "f.yml:1:1: there should be pools here, each a name and a colon, not a map");
  CHECK(refusal(listening("/tmp/x") + "---\nq: x\n") ==
        "f.yml:5:1: the YAML document ends here, and nothing may follow it");
  CHECK(refusal(",p: x\n") == "f.yml:1:1: the YAML document ends here, and nothing may follow it");
  CHECK(refusal("[p], q\n") == "f.yml:1:4: the YAML document ends here, and nothing may follow it");
  CHECK(refusal("p:\n  listen: \"x") == "f.yml:2:13: this is not YAML: illegal EOF in scalar");
  CHECK(refusal("p:\n\tlisten: /tmp/x\n") == "f.yml:2:8: YAML is indented with spaces, not with tabs");
  CHECK(refusal(with("hash: \x01")) == "f.yml:5:9: a control character (byte 1); this should be a text file");
  CHECK(refusal(std::string("p:\0", 3)) == "f.yml:1:3: a control character (byte 0); this should be a text file");
  CHECK(refusal("p:\rq:\n") == "f.yml:1:3: a control character (byte 13); this should be a text file");
  CHECK(refusal(std::string(100'000, '[')).starts_with("f.yml:1:"));
}

TEST_CASE("YAML in its other forms") {
  const std::string lines = listening("127.0.0.1:22121");
  CHECK(one_pool("---\n" + lines + "...\n").name == "p");
  CHECK(one_pool("\xef\xbb\xbf" + lines).name == "p");
  CHECK(one_pool("p: {listen: '127.0.0.1:1', servers: ['h:1:1']}").servers.size() == 1);
  CHECK(one_pool("p: &all\n  listen: /tmp/x\n  servers:\n  - &one h:1:1\n").servers[0].where.host == "h");
  CHECK(one_pool("caf\xe9" + lines).name == "caf\xe9p");
  std::string crlf;
  for (const char c : lines) crlf += c == '\n' ? "\r\n" : std::string(1, c);
  CHECK(one_pool(crlf).servers[0].weight == 1);
}

TEST_CASE("an error is one line of bounded length, whatever the file holds") {
  CHECK(refusal(with("hash_tag: \"a\\nb\\x1b\"")) ==
        "f.yml:5:13: 'hash_tag' wants two characters, such as \"{}\" in quotes, not 'a\\x0ab\\x1b'");
  const std::string shown = "'" + std::string(60, 'x') + "...'";
  CHECK(refusal(with("timeout: " + std::string(5000, 'x'))).ends_with("not " + shown));
}

TEST_CASE("read_conf: the path is what errors call it") {
  const unit::temporary_directory directory;
  const std::string path = directory / "nutcracker.yml";
  const auto refused = [](const std::string& file) {
    return unit::thrown_text<conf_error>([&file] { (void)nutcracker::read_conf(file); });
  };
  CHECK(refused(path) == path + ": No such file or directory");
  CHECK(refused(directory.path()) == directory.path() + ": Is a directory");
  std::ofstream(path) << listening("/tmp/x") << "  timeout: soon\n";
  CHECK(refused(path) == path + ":5:12: 'timeout' wants a number of milliseconds, not 'soon'");
  std::ofstream(path) << listening("/tmp/x");
  CHECK(nutcracker::read_conf(path).at(0).listen.where.host == "/tmp/x");
}
