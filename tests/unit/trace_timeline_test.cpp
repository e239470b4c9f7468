// common/trace/timeline.h and chrome_json.h: what is drawn for what is heard, and that slices nest whatever is missing.
#include "common/trace/timeline.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "common/trace/chrome_json.h"

namespace {

using kind = trace_event::kind;

// A timeline whose events come one microsecond apart.
class drawing {
 public:
  void hear(int tid, const trace_event& e, std::uint64_t lost = 0) {
    timeline_.add(e, {tid, tid == 1 ? "master" : "worker 1", time_, lost});
    time_ += 1000;
  }
  void finish() { timeline_.finish(time_); }

  // What has been drawn since the last call: "ph time name" each, without commas, braces and quotation marks.
  [[nodiscard]] std::vector<std::string> taken() {
    std::vector<std::string> lines;
    std::istringstream text(json_.taken());
    for (std::string line; std::getline(text, line);) {
      std::string plain;
      for (const char c : line.substr(0, line.size() - 1)) {
        if (c != '{' && c != '}' && c != '"') plain += c;
      }
      lines.push_back(plain);
    }
    return lines;
  }

 private:
  chrome_json json_{7, "server"};
  timeline timeline_{json_};
  std::int64_t time_ = 1'000;
};

// A listener, 3, and a client, 5, who is accepted by thread 1 and gets to thread 2.
void hand_over(drawing& d) {
  d.hear(1, {.what = kind::woken, .sfd = 3, .number = trace_read});
  d.hear(1, {.what = kind::opened, .sfd = 5});
  d.hear(1, {.what = kind::dispatched, .sfd = 5, .number = 1});
  d.hear(1, {.what = kind::pushed, .sfd = 5, .number = 1});
  d.hear(1, {.what = kind::byte_written, .sfd = 12, .number = 'c'});
  d.hear(2, {.what = kind::byte_read, .sfd = 11, .number = 'c'});
  d.hear(2, {.what = kind::popped, .sfd = 5});
  d.hear(2, {.what = kind::asleep, .sfd = 5, .text = "conn_new_cmd", .number = trace_read});
}

// Of all lines those that begin so.
[[nodiscard]] std::vector<std::string> beginning(const std::vector<std::string>& lines, std::string_view start) {
  std::vector<std::string> found;
  for (const std::string& line : lines) {
    if (line.starts_with(start)) found.push_back(line);
  }
  return found;
}

}  // namespace

TEST_CASE("a set-up, an event, and the loop between them") {
  drawing d;
  d.hear(1, {.what = kind::listening, .sfd = 3});
  d.hear(1, {.what = kind::asleep, .sfd = 3, .text = "conn_listening", .number = trace_read});
  d.hear(1, {.what = kind::woken, .sfd = 3, .number = trace_read});
  d.hear(1, {.what = kind::call, .sfd = 3, .text = "accept4", .number = -1, .error = EAGAIN});
  d.hear(1, {.what = kind::asleep, .sfd = 3, .number = trace_read});
  d.hear(1, {.what = kind::timer, .sfd = -1, .text = "clock"});
  CHECK(d.taken() == std::vector<std::string>{
                         "ph:M,pid:7,name:process_name,args:name:server",
                         "ph:M,pid:7,name:thread_name,tid:1,args:name:master",
                         "ph:B,pid:7,name:outside the event loop,tid:1,ts:1.000",
                         "ph:B,pid:7,name:<3 server listening,tid:1,ts:1.000",
                         "ph:b,pid:7,name:listener 3,cat:connection,id:1,ts:1.000",
                         "ph:E,pid:7,tid:1,ts:1.000",
                         "ph:B,pid:7,name:3: conn_new, in conn_listening,tid:1,ts:1.000",
                         "ph:b,pid:7,name:conn_listening,cat:connection,id:1,ts:2.000",
                         "ph:b,pid:7,name:asleep, waiting for EV_READ,cat:connection,id:1,ts:2.000",
                         "ph:E,pid:7,tid:1,ts:2.000",
                         "ph:E,pid:7,tid:1,ts:2.000",  // the set-up, with the last thing that it did
                         "ph:B,pid:7,name:in the event loop,tid:1,ts:2.000",
                         "ph:E,pid:7,tid:1,ts:3.000",
                         "ph:B,pid:7,name:3: woken by EV_READ,tid:1,ts:3.000",
                         "ph:e,pid:7,name:asleep, waiting for EV_READ,cat:connection,id:1,ts:3.000",
                         "ph:B,pid:7,name:conn_listening,tid:1,ts:3.000",
                         "ph:B,pid:7,name:3: accept4() = -1, EAGAIN,tid:1,ts:3.000",
                         "ph:E,pid:7,tid:1,ts:4.000",
                         "ph:E,pid:7,tid:1,ts:5.000",
                         "ph:E,pid:7,tid:1,ts:5.000",
                         "ph:B,pid:7,name:in the event loop,tid:1,ts:5.000",
                         "ph:b,pid:7,name:asleep, waiting for EV_READ,cat:connection,id:1,ts:5.000",
                         "ph:E,pid:7,tid:1,ts:6.000",
                         "ph:B,pid:7,name:timer: clock,tid:1,ts:6.000",
                     });
  d.finish();
  CHECK(d.taken() == std::vector<std::string>{
                         "ph:e,pid:7,name:asleep, waiting for EV_READ,cat:connection,id:1,ts:7.000",
                         "ph:e,pid:7,name:conn_listening,cat:connection,id:1,ts:7.000",
                         "ph:e,pid:7,name:listener 3,cat:connection,id:1,ts:7.000",
                         "ph:E,pid:7,tid:1,ts:6.000",
                     });
}

TEST_CASE("a client's way from accept to conn_new: four arrows, and the queue's length") {
  drawing d;
  hand_over(d);
  const auto lines = d.taken();
  const std::string id = "cat:hand-over,id:1";
  CHECK(beginning(lines, "ph:s") == std::vector<std::string>{"ph:s,pid:7,name:hand-over,tid:1," + id + ",ts:1.999"});
  CHECK(beginning(lines, "ph:t") == std::vector<std::string>{"ph:t,pid:7,name:hand-over,tid:1," + id + ",ts:3.999",
                                                             "ph:t,pid:7,name:hand-over,tid:1," + id + ",ts:4.999",
                                                             "ph:t,pid:7,name:hand-over,tid:2," + id + ",ts:6.999"});
  CHECK(beginning(lines, "ph:f") ==
        std::vector<std::string>{"ph:f,pid:7,name:hand-over,tid:2," + id + ",bp:e,ts:7.999"});
  CHECK(beginning(lines, "ph:C") ==
        std::vector<std::string>{"ph:C,pid:7,name:connections,ts:2.000,args:open:1",
                                 "ph:C,pid:7,name:queue of worker 1,ts:4.000,args:length:1",
                                 "ph:C,pid:7,name:queue of worker 1,ts:7.000,args:length:0"});
}

TEST_CASE("a byte whose client has been popped before is on nobody's way") {
  drawing d;
  d.hear(1, {.what = kind::opened, .sfd = 5});
  d.hear(1, {.what = kind::pushed, .sfd = 5, .number = 1});
  d.hear(2, {.what = kind::popped, .sfd = 5});
  d.hear(1, {.what = kind::byte_written, .sfd = 12, .number = 'c'});
  CHECK(beginning(d.taken(), "ph:t").size() == 2);
}

TEST_CASE("states of a connection, on its track and in the slice of its event") {
  drawing d;
  hand_over(d);
  (void)d.taken();
  d.hear(2, {.what = kind::woken, .sfd = 5, .number = trace_read});
  d.hear(2, {.what = kind::state, .sfd = 5, .text = "conn_new_cmd", .more = "conn_closing"});
  d.hear(2, {.what = kind::closed, .sfd = 5});
  d.hear(2, {.what = kind::given_back, .sfd = 5});
  CHECK(d.taken() == std::vector<std::string>{
                         "ph:E,pid:7,tid:2,ts:8.000",
                         "ph:B,pid:7,name:in the event loop,tid:2,ts:8.000",
                         "ph:E,pid:7,tid:2,ts:9.000",
                         "ph:B,pid:7,name:5: woken by EV_READ,tid:2,ts:9.000",
                         "ph:e,pid:7,name:asleep, waiting for EV_READ,cat:connection,id:1,ts:9.000",
                         "ph:B,pid:7,name:conn_new_cmd,tid:2,ts:9.000",
                         "ph:e,pid:7,name:conn_new_cmd,cat:connection,id:1,ts:10.000",
                         "ph:b,pid:7,name:conn_closing,cat:connection,id:1,ts:10.000",
                         "ph:E,pid:7,tid:2,ts:10.000",
                         "ph:B,pid:7,name:conn_closing,tid:2,ts:10.000",
                         "ph:B,pid:7,name:<5 connection closed.,tid:2,ts:10.000",
                         "ph:C,pid:7,name:connections,ts:11.000,args:open:0",
                         "ph:E,pid:7,tid:2,ts:11.000",
                         "ph:B,pid:7,name:5: descriptor given back,tid:2,ts:11.000",
                         "ph:e,pid:7,name:conn_closing,cat:connection,id:1,ts:12.000",
                         "ph:e,pid:7,name:connection 5,cat:connection,id:1,ts:12.000",
                         "ph:E,pid:7,tid:2,ts:12.000",
                         "ph:E,pid:7,tid:2,ts:12.000",
                         "ph:E,pid:7,tid:2,ts:12.000",
                         "ph:B,pid:7,name:in the event loop,tid:2,ts:12.000",
                     });
}

TEST_CASE("a descriptor that comes back before it was said to be given back") {
  drawing d;
  hand_over(d);
  d.hear(2, {.what = kind::closed, .sfd = 5});
  d.hear(1, {.what = kind::opened, .sfd = 5});
  (void)d.taken();
  d.hear(2, {.what = kind::given_back, .sfd = 5});
  CHECK(beginning(d.taken(), "ph:e").empty());  // it is the new client's now
  d.hear(1, {.what = kind::closed, .sfd = 5});
  d.hear(1, {.what = kind::given_back, .sfd = 5});
  CHECK(beginning(d.taken(), "ph:e").size() == 1);
}

TEST_CASE("the back-off of a listener is a slice") {
  drawing d;
  d.hear(1, {.what = kind::listening, .sfd = 3});
  d.hear(1, {.what = kind::asleep, .sfd = 3, .text = "conn_listening", .number = trace_read});
  d.hear(1, {.what = kind::woken, .sfd = 3, .number = trace_read});
  d.hear(1, {.what = kind::muted, .sfd = 3});
  d.hear(1, {.what = kind::asleep, .sfd = 3});
  (void)d.taken();
  d.hear(1, {.what = kind::timer, .sfd = -1, .text = "maxconns"});
  d.hear(1, {.what = kind::heard_again, .sfd = 3});
  CHECK(beginning(d.taken(), "ph:e") ==
        std::vector<std::string>{"ph:e,pid:7,name:asleep, waiting for nothing,cat:connection,id:1,ts:7.000",
                                 "ph:e,pid:7,name:muted,cat:connection,id:1,ts:7.000"});
}

TEST_CASE("what is lost is a slice, in which the rest of that event stands") {
  drawing d;
  hand_over(d);
  d.hear(2, {.what = kind::asleep, .sfd = 5, .number = trace_read});
  (void)d.taken();
  d.hear(2, {.what = kind::call, .sfd = 5, .text = "read", .number = 9}, 12);
  CHECK(d.taken() == std::vector<std::string>{
                         "ph:E,pid:7,tid:2,ts:9.000",
                         "ph:B,pid:7,name:12 events lost: too many for this file,tid:2,ts:9.000",
                         "ph:B,pid:7,name:5: read() = 9,tid:2,ts:9.000",
                         "ph:E,pid:7,tid:2,ts:10.000",
                     });
}

TEST_CASE("a proxy's request, its two parts, and the arrows between them") {
  drawing d;
  d.hear(1, {.what = kind::opened, .sfd = 5});
  d.hear(1, {.what = kind::connecting, .sfd = 8, .text = "alpha"});
  d.hear(1, {.what = kind::woken, .sfd = 5, .number = trace_read});
  d.hear(1, {.what = kind::request, .sfd = 5, .number = 1});
  d.hear(1, {.what = kind::fragment, .sfd = -1, .number = 2, .of = 1});
  d.hear(1, {.what = kind::fragment, .sfd = -1, .number = 3, .of = 1});
  d.hear(1, {.what = kind::forwarded, .sfd = 8, .number = 2});
  d.hear(1, {.what = kind::forwarded, .sfd = 8, .number = 3});
  d.hear(1, {.what = kind::response, .sfd = 8, .number = 2});
  d.hear(1, {.what = kind::response, .sfd = 8, .number = 3});
  (void)d.taken();
  d.hear(1, {.what = kind::answered, .sfd = 5, .number = 1});
  CHECK(d.taken() == std::vector<std::string>{
                         "ph:B,pid:7,name:5: request 1 is answered,tid:1,ts:10.000",
                         "ph:f,pid:7,name:request,tid:1,cat:request,id:2,bp:e,ts:10.999",
                         "ph:e,pid:7,name:part of a request,cat:request,id:2,ts:11.000",
                         "ph:f,pid:7,name:request,tid:1,cat:request,id:3,bp:e,ts:10.999",
                         "ph:e,pid:7,name:part of a request,cat:request,id:3,ts:11.000",
                         "ph:f,pid:7,name:request,tid:1,cat:request,id:1,bp:e,ts:10.999",
                         "ph:e,pid:7,name:request,cat:request,id:1,ts:11.000",
                         "ph:E,pid:7,tid:1,ts:11.000",
                     });
}

TEST_CASE("names are JSON strings") {
  chrome_json json(7, "server");
  (void)json.taken();
  json.begin(1, 1'234'567, R"(a "b" \x00)");
  CHECK(json.taken() == "{\"ph\":\"B\",\"pid\":7,\"name\":\"a \\\"b\\\" \\\\x00\",\"tid\":1,\"ts\":1234.567},\n");
}

TEST_CASE("events in any order: slices nest, each ends, and no time goes back") {
  std::mt19937 random(1);
  const auto below = [&random](unsigned n) { return static_cast<int>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    drawing d;
    for (int i = 0; i < 200; ++i) {
      const auto what = static_cast<kind>(below(static_cast<unsigned>(kind::returned) + 1));
      const trace_event e{.what = what,
                          .sfd = below(4),
                          .text = what == kind::asleep && below(2) == 0 ? "" : "conn_read",
                          .more = "conn_write",
                          .number = below(5),
                          .of = below(5)};
      d.hear(1 + below(2), e, below(10) == 0 ? 3u : 0u);
    }
    d.finish();
    std::map<std::string, std::vector<std::string>> open;  // by track, names where they are told
    for (const std::string& line : d.taken()) {
      const auto part = [&line](const std::string& key) {
        const auto start = line.find("," + key + ":");
        return start == line.npos ? "" : line.substr(start, line.find(',', start + 1) - start);
      };
      const char phase = line[3];
      if (phase == 'B') open[part("tid")].push_back("");
      if (phase == 'b') open[part("cat") + part("id")].push_back(part("name"));
      if (phase != 'E' && phase != 'e') continue;
      std::vector<std::string>& stack = phase == 'E' ? open[part("tid")] : open[part("cat") + part("id")];
      REQUIRE(!stack.empty());
      CHECK(stack.back() == part("name"));
      stack.pop_back();
    }
    for (const auto& [track, stack] : open) CHECK(stack.empty());
  }
}
