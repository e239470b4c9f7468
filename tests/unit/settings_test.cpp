// common/settings/settings.h: what each option does, and that a wrong one is refused in one clear line.
#include "common/settings/settings.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <tuple>

#include "tests/unit/support.h"

namespace {

constexpr command_line everything = {"99-all", "takes all there is", "pUsalcbtRBmMIfnCFvdPukrohV",
                                     "maxconns_fast,nagle"};
constexpr command_line first_chapter = {"01-first", "has little", "pslcvhV", ""};

[[nodiscard]] settings parse(std::vector<std::string> arguments, const command_line& chapter = everything) {
  arguments.insert(arguments.begin(), "program");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return parse_command_line(static_cast<int>(arguments.size()), argv.data(), chapter);
}

// What the user is told; "" if nothing is wrong.
[[nodiscard]] std::string refusal(const std::vector<std::string>& arguments, const command_line& chapter = everything) {
  return unit::thrown_text<usage_error>([&] { (void)parse(arguments, chapter); });
}

}  // namespace

TEST_CASE("no arguments: memcached's defaults, UDP off") {
  const settings s = parse({});
  CHECK(s.port == 11211);
  CHECK(s.udpport == 0);
  CHECK(s.access == 0700);
  CHECK(s.inter.empty());
  CHECK(s.maxbytes == 67'108'864);
  CHECK(s.maxconns == 1024);
  CHECK(s.num_threads == 4);
  CHECK(s.verbose == 0);
}

TEST_CASE("a chapter without -t has one thread") { CHECK(parse({}, first_chapter).num_threads == 1); }

TEST_CASE("each option sets its field") {
  CHECK(parse({"-p", "80"}).port == 80);
  CHECK(parse({"-p0"}).port == 0);
  CHECK(parse({"-p", "-1"}).port == -1);
  CHECK(parse({"-U", "-1"}).udpport == -1);
  CHECK(parse({"-s", "/tmp/x"}).socketpath == "/tmp/x");
  CHECK(parse({"-a", "0666"}).access == 0666);
  CHECK(parse({"-c", "20"}).maxconns == 20);
  CHECK(parse({"-b", "7"}).backlog == 7);
  CHECK(parse({"-t", "1"}).num_threads == 1);
  CHECK(parse({"-R", "1"}).reqs_per_event == 1);
  CHECK(parse({"-B", "auto"}).protocol == binding_protocol::negotiating);
  CHECK(parse({"-B", "ascii"}).protocol == binding_protocol::ascii);
  CHECK(parse({"-B", "binary"}).protocol == binding_protocol::binary);
  CHECK(parse({"-m", "100"}).maxbytes == 104'857'600);
  CHECK(!parse({"-M"}).evict_to_free);
  CHECK(parse({"-I", "2m"}).item_size_max == 2'097'152);
  CHECK(parse({"-I", "64K"}).item_size_max == 65'536);
  CHECK(parse({"-I", "5000"}).item_size_max == 5000);
  CHECK(parse({"-I", "128m"}).item_size_max == 134'217'728);
  CHECK(parse({"-I", "1k"}).item_size_max == 1024);
  CHECK(parse({"-f", "1.07"}).factor == doctest::Approx(1.07));
  CHECK(parse({"-f", "2"}).factor == 2.0);
  CHECK(parse({"-n", "96"}).chunk_size == 96);
  CHECK(!parse({"-C"}).use_cas);
  CHECK(!parse({"-F"}).flush_enabled);
  CHECK(parse({"-d"}).daemonize);
  CHECK(parse({"-P", "/tmp/pid"}).pid_file == "/tmp/pid");
  CHECK(parse({"-u", "nobody"}).username == "nobody");
  CHECK(parse({"-k"}).lock_memory);
  CHECK(parse({"-r"}).maximize_core);
}

TEST_CASE("the options of the trace: long ones without a letter, for every chapter") {
  CHECK(parse({}).trace.file.empty());
  CHECK(parse({"--trace", "x.json"}, first_chapter).trace.file == "x.json");
  CHECK(parse({"--trace=x.json", "-p80"}).trace.file == "x.json");
  CHECK(parse({"--conduct", "/tmp/x"}, first_chapter).trace.conduct == "/tmp/x");
  CHECK(parse({"--threads", "2"}).num_threads == 2);
  CHECK(refusal({"--trace"}) == "--trace: needs a value");
  CHECK(refusal({"--trace="}) == "--trace: its value is empty");
  CHECK(refusal({"--traces", "x"}) == "--traces: unknown option; --help lists those there are");
  CHECK(help_text(first_chapter).find("\nto see what it does:\n      --trace=FILE  ") != std::string::npos);
}

TEST_CASE("-v counts") {
  CHECK(parse({"-v"}).verbose == 1);
  CHECK(parse({"-vvv"}).verbose == 3);
  CHECK(parse({"-v", "-v"}).verbose == 2);
}

TEST_CASE("-l: a list, repeated, with ports") {
  CHECK(parse({"-l", "127.0.0.1"}).inter == std::vector<std::string>{"127.0.0.1"});
  CHECK(parse({"-l", "a,b:1", "-l", "[::1]:2"}).inter == std::vector<std::string>{"a", "b:1", "[::1]:2"});
  CHECK(refusal({"-l", "a,,b"}) == "-l: its value is empty");
}

TEST_CASE("long names") {
  const settings s = parse({"--port=1", "--memory-limit", "2", "--conn-limit=3", "--threads=4", "--verbose"});
  CHECK(s.port == 1);
  CHECK(s.maxbytes == 2'097'152);
  CHECK(s.maxconns == 3);
  CHECK(s.num_threads == 4);
  CHECK(s.verbose == 1);
  CHECK(refusal({"--threads=1"}, first_chapter) ==
        "-t: this chapter has no threads yet; chapter 06-worker-pool brings them");
}

TEST_CASE("-o") {
  CHECK(parse({"-o", "maxconns_fast"}).maxconns_fast);
  const settings s = parse({"-o", "nagle,hashpower=20"});
  CHECK(s.nagle);
  CHECK(s.hashpower_init == 20);
  CHECK(!s.maxconns_fast);
  CHECK(refusal({"-o", "modern"}) == "-o: unknown option \"modern\"; --help lists those there are");
  CHECK(refusal({"-o", ""}) == "-o: unknown option \"\"; --help lists those there are");
  CHECK(refusal({"-o", "nagle=1"}) == "-o: nagle takes no value");
  CHECK(refusal({"-o", "hashpower"}) == "-o: hashpower needs a value: hashpower=NUM");
  CHECK(refusal({"-o", "hashpower=11"}) == "-o: 11 is not a power of two for the hash table (12 to 32)");
  CHECK(refusal({"-o", "hashpower=33"}) == "-o: 33 is not a power of two for the hash table (12 to 32)");

  constexpr command_line third = {"03", "", "op", "nagle"};
  CHECK(parse({"-o", "nagle"}, third).nagle);
  CHECK(refusal({"-o", "maxconns_fast"}, third) ==
        "-o: maxconns_fast: this chapter does not have it yet; chapter 12-maxconns brings it");
}

TEST_CASE("-o: names of 1.4.25 that tune its storage are taken by who stores, and do nothing") {
  const std::vector<std::string> good = {
      "slab_reassign",       "slab_automove",          "slab_automove=0",           "slab_automove=2",
      "tail_repair_time=10", "hash_algorithm=jenkins", "hash_algorithm=murmur3",    "lru_crawler",
      "lru_crawler_sleep=0", "lru_crawler_tocrawl=0",  "lru_crawler_sleep=1000000", "lru_crawler_tocrawl=4294967295",
      "lru_maintainer",      "hot_lru_pct=1",          "warm_lru_pct=79",           "expirezero_does_not_evict",
  };
  std::string list;
  for (const std::string& one : good) {
    CAPTURE(one);
    const settings s = parse({"-o", one});
    REQUIRE(s.without_effect.size() == 1);
    CHECK(one.starts_with(s.without_effect[0]));
    list += one + ",";
  }
  CHECK(parse({"-o", list + "hashpower=20"}).without_effect.size() == good.size());
  CHECK(parse({"-o", "hashpower=20"}).without_effect.empty());

  for (const char* const bad :
       {"slab_automove=3", "slab_automove=", "slab_automove=-1", "tail_repair_time=9", "tail_repair_time",
        "hash_algorithm=md5", "hash_algorithm", "lru_crawler_sleep=1000001", "lru_crawler_sleep",
        "lru_crawler_tocrawl=4294967296", "lru_crawler_tocrawl=x", "hot_lru_pct=0", "hot_lru_pct=80", "warm_lru_pct=80",
        "warm_lru_pct", "lru_crawler=1", "lru_crawlers", "idle_timeout=10"}) {
    CAPTURE(bad);
    CHECK(refusal({"-o", bad}).starts_with("-o: "));
  }
  CHECK(refusal({"-o", "slab_automove=3"}) == "-o: 3 is not a way to move slabs (0 to 2)");
  CHECK(refusal({"-o", "tail_repair_time"}) == "-o: tail_repair_time needs a value: tail_repair_time=NUM");

  constexpr command_line proxy = {"13-proxy", "stores nothing", "ohV", "server"};
  CHECK(refusal({"-o", "lru_crawler"}, proxy) == "-o: lru_crawler: this program stores nothing");
}

TEST_CASE("bad numbers: one clear line each") {
  CHECK(refusal({"-p", "70000"}) == "-p: 70000 is not a port (-1 to 65535)");
  CHECK(refusal({"-p", "-2"}) == "-p: -2 is not a port (-1 to 65535)");
  CHECK(refusal({"-p", "80x"}) == "-p: 80x is not a port (-1 to 65535)");
  CHECK(refusal({"-p", " 80"}) == "-p:  80 is not a port (-1 to 65535)");
  CHECK(refusal({"-p", "+80"}) == "-p: +80 is not a port (-1 to 65535)");
  CHECK(refusal({"-p", ""}) == "-p:  is not a port (-1 to 65535)");
  CHECK(refusal({"-p", "99999999999999999999"}) == "-p: 99999999999999999999 is not a port (-1 to 65535)");
  CHECK(refusal({"-U", "65536"}) == "-U: 65536 is not a port (-1 to 65535)");
  CHECK(refusal({"-a", "778"}) == "-a: 778 is not a file mode (octal, 0 to 777)");
  CHECK(refusal({"-a", "1777"}) == "-a: 1777 is not a file mode (octal, 0 to 777)");
  CHECK(refusal({"-c", "0"}) == "-c: 0 is not a number of connections (1 to 10000000)");
  CHECK(refusal({"-b", "0"}) == "-b: 0 is not a backlog (1 to 65535)");
  CHECK(refusal({"-t", "0"}) == "-t: 0 is not a number of threads (1 to 1024)");
  CHECK(refusal({"-R", "0"}) == "-R: 0 is not a number of requests (1 to 1000000000)");
  CHECK(refusal({"-B", "Auto"}) == "-B: Auto is not a protocol (auto, ascii or binary)");
  CHECK(refusal({"-m", "0"}) == "-m: 0 is not a number of MiB (1 to 16777216)");
  CHECK(refusal({"-m", "-1"}) == "-m: -1 is not a number of MiB (1 to 16777216)");
  CHECK(refusal({"-n", "0"}) == "-n: 0 is not a number of bytes (1 to 1048576)");
  for (const std::string size :
       {"1023", "129m", "0", "m", "1g", "1mm", "1.5m", "-1m", "131073k", "18446744073709551615m"}) {
    CHECK(refusal({"-I", size}) == "-I: " + size + " is not an item size (1k to 128m)");
  }
  for (const std::string factor : {"1", "0.5", "-2", "nan", "inf", "1.25x", "", "101", "1e9999"}) {
    CHECK(refusal({"-f", factor}) == "-f: " + factor + " is not a growth factor (above 1, at most 100)");
  }
}

TEST_CASE("what does not belong on a command line") {
  CHECK(refusal({"-s", ""}) == "-s: its value is empty");
  CHECK(refusal({"-p"}) == "-p: needs a value");
  CHECK(refusal({"--port"}) == "-p: needs a value");
  CHECK(refusal({"--daemon=yes"}) == "-d: takes no value");
  CHECK(refusal({"-Z"}) == "-Z: unknown option; --help lists those there are");
  CHECK(refusal({"--zap=1"}) == "--zap=1: unknown option; --help lists those there are");
  CHECK(refusal({"start"}) == "start: left over; every argument belongs to an option");
  CHECK(refusal({"-v", "--", "-p"}) == "-p: left over; every argument belongs to an option");
  CHECK(refusal({"-S"}) == "-S: this build has no SASL");
}

TEST_CASE("what a chapter does not have yet") {
  CHECK(refusal({"-t", "4"}, first_chapter) ==
        "-t: this chapter has no threads yet; chapter 06-worker-pool brings them");
  CHECK(refusal({"-m", "64"}, first_chapter) == "-m: this chapter stores nothing yet; chapter 02-nread does");
  for (const auto& [option, chapter] : {std::pair{"-R1", "07-new-states"},
                                        {"-U1", "10-transports"},
                                        {"-Bauto", "11-binary-protocol"},
                                        {"-onagle", "03-mwrite"}}) {
    CHECK(refusal({option}, first_chapter).find(chapter) != std::string::npos);
  }
  CHECK(refusal({"-k"}, first_chapter) == "-k: this program does not take it");
}

TEST_CASE("--help: the chapter's options, no others, within 120 columns") {
  const std::string all = help_text(everything);
  CHECK(all.starts_with("99-all: takes all there is\n"));
  CHECK(all.find("usage: 99-all [options]") != std::string::npos);
  for (const char letter : everything.flags)
    CHECK(all.find(std::string("\n  -") + letter + ", --") != std::string::npos);
  for (const char* name : {"maxconns_fast", "hashpower=NUM", "nagle"}) CHECK(all.find(name) != std::string::npos);
  CHECK(all.find("SASL") == std::string::npos);
  CHECK(all.find("-S") == std::string::npos);
  for (std::size_t start = 0; start < all.size();) {
    const std::size_t end = all.find('\n', start);
    CHECK_MESSAGE(end - start <= 120, all.substr(start, end - start));
    start = end + 1;
  }

  const std::string first = help_text(first_chapter);
  CHECK(first.find("-p, --port=NUM") != std::string::npos);
  CHECK(first.find("--threads") == std::string::npos);
  CHECK(first.find("nagle") == std::string::npos);

  const std::string third = help_text({"03", "", "op", "nagle"});
  CHECK(third.find("nagle") != std::string::npos);
  CHECK(third.find("maxconns_fast") == std::string::npos);
}

TEST_CASE("-h and -V print and exit with status 0") {
  const auto run = [](const char* argument) {
    return unit::in_child([argument] {
      (void)parse({argument});
      return std::string("came back");
    });
  };
  for (const char* argument : {"-h", "--help"}) {
    const unit::child_result help = run(argument);
    CHECK(help.status == 0);
    CHECK(help.answer.empty());
    CHECK(help.streams == help_text(everything));
  }
  for (const char* argument : {"-V", "--version"}) {
    const unit::child_result version = run(argument);
    CHECK(version.status == 0);
    CHECK(version.answer.empty());
    CHECK(version.streams == "99-all 1.4.25\n");
  }
}

TEST_CASE("--diagram is for chapters that have states") {
  CHECK_THROWS_WITH_AS(std::ignore = parse({"--diagram"}),
                       "--diagram: a proxy has no states but handlers; chapters 01 to 12 have", usage_error);
}

TEST_CASE("what is for the storage") {
  const settings s = parse({"-m1", "-M", "-I2k", "-f1.5", "-n64", "-C", "-ohashpower=13"});
  CHECK(s.maxbytes == 1'048'576);
  CHECK(!s.evict_to_free);
  CHECK(s.item_size_max == 2048);
  CHECK(s.factor == 1.5);
  CHECK(s.chunk_size == 64);
  CHECK(!s.use_cas);
  CHECK(s.hashpower_init == 13);
}
