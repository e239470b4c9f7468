// What the trace has heard, drawn on tracks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/trace/chrome_json.h"
#include "common/trace/tracer.h"

// Who heard an event, and when.
struct moment {
  int tid;
  std::string_view thread;  // its name
  std::int64_t time;        // nanoseconds
  std::uint64_t lost;       // events of this thread, directly before this one
};

// A track per thread. What it does for one event of its loop is a slice; so is the time between two of them, in the
// loop or asleep. In the slice of an event stand the states that the connection passes, and in them what the thread
// did. A trace point stands behind the thing that it tells of, so the slice of that thing reaches back to the trace
// point before.
//
// A track per connection: its life, in it its states, in a state how it sleeps, and for a listener how it is muted. A
// track per request of a proxy. Counters: open connections, and the length of each worker's queue. Arrows: from accept
// to push, byte, pop and conn_new; from a request to its parts, to the servers and back.
//
// Events may be missing. Slices nest and end all the same: an event that does not fit what is drawn corrects it.
// Thread: one. Throws std::bad_alloc.
class timeline {
 public:
  explicit timeline(chrome_json& out) : out_(out) {}

  // In the order in which they were heard. A time before the last one's counts as the last one's.
  void add(const trace_event& e, const moment& when);
  // Ends all slices.
  void finish(std::int64_t time);

 private:
  struct thread {
    enum class place : unsigned char { outside, loop, event } in = place::outside;
    int tid = 0;
    unsigned open = 0;      // slices
    bool in_thing = false;  // the innermost is of the event that is being drawn
    std::int64_t last = 0;  // when it was heard last
    int sfd = -1;           // whose event it is
  };

  // What a connection can be in, from the outside to the inside. A level in between may be missing.
  enum class level : unsigned char { life, state, muted, asleep };
  struct slice {
    level depth;
    std::string name;
  };
  struct connection {
    std::int64_t number = 0;  // of its track: descriptors come back
    bool is_client = false;
    bool is_closing = false;
    bool on_its_way = false;  // from accept to conn_new
    std::string queue{};      // its worker's
    std::vector<slice> open{};
  };

  struct request {
    int sfd = -1;                       // its client's; -1: it is a part of another
    std::vector<std::int64_t> parts{};  // if it was split
    std::vector<std::string> open{};    // slices: its life, and in it how long a server has it
  };

  void draw(thread& t, const trace_event& e);

  thread& thread_of(const moment& when);
  void begin_event(thread& t, const trace_event& e);
  void end_event(thread& t, std::int64_t time);
  void draw_loss(thread& t, std::uint64_t lost);
  void draw_thing(thread& t, std::string_view name);
  void open_slice(thread& t, std::string_view name, std::int64_t time);
  void end_slices(thread& t, unsigned left, std::int64_t time);
  void draw_arrow(const thread& t, async_track flow, char phase);

  [[nodiscard]] static async_track life_track(const connection& c);
  connection& begin_life(int sfd, std::string name);
  connection& life_of(int sfd);
  void close(int sfd);
  void end_life(int sfd);
  void enter(connection& c, level depth, std::string name);
  void leave(connection& c, level depth);

  void draw_woken(thread& t, const trace_event& e);
  void draw_state(thread& t, const trace_event& e);
  void draw_asleep(thread& t, const trace_event& e);
  void draw_made(thread& t, const trace_event& e);
  void draw_sleep(const trace_event& e);
  void draw_given_back(thread& t, const trace_event& e);
  void draw_queue(thread& t, const trace_event& e);
  void draw_way(const thread& t, int sfd, char phase);

  void begin_request(std::int64_t id, int sfd, std::string name);
  void draw_request_arrow(const thread& t, std::int64_t id, char phase);
  void draw_fragment(thread& t, const trace_event& e);
  void draw_forwarded(thread& t, const trace_event& e);
  void draw_response(thread& t, const trace_event& e);
  void draw_answered(thread& t, const trace_event& e);
  void end_request_slices(std::int64_t id, request& r, std::size_t left);
  void end_request(std::int64_t id);
  void end_requests_of(int sfd);

  chrome_json& out_;
  std::int64_t now_ = 0;
  std::int64_t last_arrow_ = 0;  // when: arrows do not go back in time
  std::int64_t lives_ = 0;
  std::int64_t clients_ = 0;
  int pushed_ = -1;                                     // the client whose byte comes next
  std::unordered_map<int, thread> threads_;             // by number
  std::unordered_map<int, connection> connections_;     // by descriptor
  std::unordered_map<std::int64_t, request> requests_;  // by number
};
