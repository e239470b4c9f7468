// common/nutcracker/options.h: what each option does, and that a wrong one is refused in one clear line.
#include "common/nutcracker/options.h"

#include <doctest/doctest.h>

#include <tuple>

#include "tests/unit/support.h"

using namespace std::chrono_literals;
using nutcracker::log_level;
using nutcracker::options;

namespace {

constexpr nutcracker::program_name proxy = {"99-proxy", "forwards what it is sent", "ctsaiDmvodphV"};

[[nodiscard]] options parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "program");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return nutcracker::parse_options(static_cast<int>(arguments.size()), argv.data(), proxy);
}

// What the user is told; "" if nothing is wrong.
[[nodiscard]] std::string refusal(const std::vector<std::string>& arguments) {
  return unit::thrown_text<usage_error>([&] { (void)parse(arguments); });
}

}  // namespace

TEST_CASE("no arguments: nutcracker's defaults") {
  const options o = parse({});
  CHECK(o.conf_file == "conf/nutcracker.yml");
  CHECK(o.stats_port == 22222);
  CHECK(o.stats_addr == "0.0.0.0");
  CHECK(o.stats_interval == 30s);
  CHECK(o.mbuf_size == 16384);
  CHECK(o.verbosity == log_level::notice);
  CHECK(o.output.empty());
  CHECK(o.pid_file.empty());
  CHECK(!o.daemonize);
  CHECK(!o.test_conf);
  CHECK(!o.describe_stats);
}

TEST_CASE("each option sets its field, by its letter and by its name") {
  CHECK(parse({"-c", "x.yml"}).conf_file == "x.yml");
  CHECK(parse({"--conf-file=x.yml"}).conf_file == "x.yml");
  CHECK(parse({"-s", "0"}).stats_port == 0);
  CHECK(parse({"--stats-port", "65535"}).stats_port == 65535);
  CHECK(parse({"-a", "::1"}).stats_addr == "::1");
  CHECK(parse({"--stats-addr=127.0.0.1"}).stats_addr == "127.0.0.1");
  CHECK(parse({"-i", "1"}).stats_interval == 1ms);
  CHECK(parse({"--stats-interval=2147483647"}).stats_interval == 2147483647ms);
  CHECK(parse({"-m", "512"}).mbuf_size == 512);
  CHECK(parse({"--mbuf-size=16777216"}).mbuf_size == 16'777'216);
  CHECK(parse({"-v", "0"}).verbosity == log_level::emerg);
  CHECK(parse({"-v11"}).verbosity == log_level::pverb);
  CHECK(parse({"--verbose=7"}).verbosity == log_level::debug);
  CHECK(parse({"-o", "log"}).output == "log");
  CHECK(parse({"--output="}).output.empty());
  CHECK(parse({"-p", "pid"}).pid_file == "pid");
  CHECK(parse({"--pid-file=pid"}).pid_file == "pid");
  CHECK(parse({"-d"}).daemonize);
  CHECK(parse({"--daemonize"}).daemonize);
  CHECK(parse({"-t"}).test_conf);
  CHECK(parse({"--test-conf"}).test_conf);
  CHECK(parse({"-D"}).describe_stats);
  CHECK(parse({"--describe-stats"}).describe_stats);
  const options several = parse({"-dtc", "x.yml"});
  CHECK(several.daemonize);
  CHECK(several.test_conf);
  CHECK(several.conf_file == "x.yml");
}

TEST_CASE("the options of the trace have no letter") {
  CHECK(parse({}).trace.file.empty());
  CHECK(parse({"--trace", "x.json", "-t"}).trace.file == "x.json");
  CHECK(parse({"--trace=x.json"}).trace.file == "x.json");
  CHECK(parse({"--conduct", "/tmp/x"}).trace.conduct == "/tmp/x");
  CHECK(refusal({"--trace"}) == "--trace: needs a value");
  CHECK(refusal({"--trace="}) == "--trace: its value is empty");
  CHECK(nutcracker::help_text(proxy).find("\nto see what it does:\n      --trace=FILE  ") != std::string::npos);
}

TEST_CASE("bad values") {
  CHECK(refusal({"-s", "65536"}) == "-s: 65536 is not a port (0 to 65535)");
  CHECK(refusal({"-s", "-1"}) == "-s: -1 is not a port (0 to 65535)");
  CHECK(refusal({"-s", "8x"}) == "-s: 8x is not a port (0 to 65535)");
  CHECK(refusal({"-s", ""}) == "-s:  is not a port (0 to 65535)");
  CHECK(refusal({"-i", "0"}) == "-i: 0 is not a number of milliseconds (1 to 2147483647)");
  CHECK(refusal({"-i", "99999999999"}) == "-i: 99999999999 is not a number of milliseconds (1 to 2147483647)");
  CHECK(refusal({"-m", "511"}) == "-m: 511 is not a number of bytes (512 to 16777216)");
  CHECK(refusal({"-m", "16777217"}) == "-m: 16777217 is not a number of bytes (512 to 16777216)");
  CHECK(refusal({"-v", "12"}) == "-v: 12 is not a log level (0 to 11)");
  CHECK(refusal({"-v", "notice"}) == "-v: notice is not a log level (0 to 11)");
  CHECK(refusal({"-c", ""}) == "-c: its value is empty");
  CHECK(refusal({"-a", ""}) == "-a: its value is empty");
}

TEST_CASE("what is no option") {
  CHECK(refusal({"-v"}) == "-v: needs a value");
  CHECK(refusal({"--stats-port"}) == "-s: needs a value");
  CHECK(refusal({"--daemonize=yes"}) == "-d: takes no value");
  CHECK(refusal({"-x"}) == "-x: unknown option; --help lists those there are");
  CHECK(refusal({"--pools"}) == "--pools: unknown option; --help lists those there are");
  CHECK(refusal({"x.yml"}) == "x.yml: left over; every argument belongs to an option");
}

TEST_CASE("-h and -V print and exit with status 0, whatever follows") {
  const unit::child_result help = unit::in_child([] {
    (void)parse({"-h", "-x"});
    return std::string("went on");
  });
  CHECK(help.status == 0);
  CHECK(help.answer.empty());
  CHECK(help.streams == nutcracker::help_text(proxy));
  const unit::child_result version = unit::in_child([] {
    (void)parse({"--version"});
    return std::string("went on");
  });
  CHECK(version.status == 0);
  CHECK(version.answer.empty());
  CHECK(version.streams == "99-proxy 0.5.0\n");
}

TEST_CASE("--help names the program and every option") {
  const std::string help = nutcracker::help_text(proxy);
  CHECK(help.starts_with("99-proxy: forwards what it is sent\n\nusage: 99-proxy [options]\n"));
  for (const char letter : std::string("ctsaiDmvodphV")) CHECK(help.find({' ', ' ', '-', letter, ','}) != help.npos);
}

TEST_CASE("an option that this program does not take is refused, and is not in its help") {
  constexpr nutcracker::program_name simple = {"98-proxy", "has no statistics", "ctmvodphV"};
  const std::string name = "98-proxy";
  const std::string flag = "-s1";
  std::vector<char*> words{const_cast<char*>(name.data()), const_cast<char*>(flag.data()), nullptr};
  CHECK_THROWS_AS(std::ignore = nutcracker::parse_options(2, words.data(), simple), usage_error);
  CHECK(nutcracker::help_text(simple).find("stats-port") == std::string::npos);
  CHECK(nutcracker::help_text(simple).find("conf-file") != std::string::npos);
}
