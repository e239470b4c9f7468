// What the trace has heard, drawn on tracks.
#include "common/trace/timeline.h"

#include <algorithm>
#include <utility>

namespace {

using kind = trace_event::kind;

[[nodiscard]] std::string named(std::string_view what, std::int64_t number) {
  return std::string(what) + " " + std::to_string(number);
}

}  // namespace

void timeline::add(const trace_event& e, const moment& when) {
  now_ = std::max(when.time, now_);
  thread& t = thread_of(when);
  if (when.lost > 0) draw_loss(t, when.lost);
  draw(t, e);
  if (t.in_thing) end_slices(t, t.open - 1, now_);
  t.last = now_;
}

void timeline::finish(std::int64_t time) {
  now_ = std::max(time, now_);
  while (!requests_.empty()) end_request(requests_.begin()->first);
  while (!connections_.empty()) end_life(connections_.begin()->first);
  for (auto& [tid, t] : threads_) end_slices(t, 0, t.in == thread::place::loop ? now_ : t.last);
}

// First what the thread did, then to whom: an arrow begins and ends at the slice that is open.
void timeline::draw(thread& t, const trace_event& e) {
  switch (e.what) {
    case kind::woken: return draw_woken(t, e);
    case kind::timer:
    case kind::byte_read: return begin_event(t, e);
    case kind::asleep: return e.text.empty() ? draw_asleep(t, e) : draw_made(t, e);
    case kind::state: return draw_state(t, e);

    case kind::listening:
      draw_thing(t, line_of(e));
      begin_life(e.sfd, named("listener", e.sfd));
      return;
    case kind::opened:
      draw_thing(t, line_of(e));
      begin_life(e.sfd, named("connection", e.sfd)).is_client = true;
      out_.count("connections", "open", now_, ++clients_);
      return draw_way(t, e.sfd, 's');
    case kind::connecting:
      draw_thing(t, line_of(e));
      begin_life(e.sfd, named("connection", e.sfd) + " to " + std::string(e.text));
      return;
    case kind::command:
    case kind::reply:
    case kind::item: draw_thing(t, line_of(e)); return out_.instant(life_track(life_of(e.sfd)), now_, line_of(e));
    case kind::muted: draw_thing(t, line_of(e)); return enter(life_of(e.sfd), level::muted, "muted");
    case kind::heard_again: draw_thing(t, line_of(e)); return leave(life_of(e.sfd), level::muted);
    case kind::closed:
      draw_thing(t, line_of(e));
      close(e.sfd);
      return end_requests_of(e.sfd);
    case kind::given_back: return draw_given_back(t, e);

    case kind::dispatched:
      draw_thing(t, line_of(e));
      life_of(e.sfd).queue = named("queue of worker", e.number);
      return;
    case kind::pushed:
    case kind::popped: return draw_queue(t, e);
    case kind::byte_written: draw_thing(t, line_of(e)); return draw_way(t, std::exchange(pushed_, -1), 't');

    case kind::request:
      draw_thing(t, line_of(e));
      begin_request(e.number, e.sfd, "request");
      return draw_request_arrow(t, e.number, 's');
    case kind::fragment: return draw_fragment(t, e);
    case kind::forwarded: return draw_forwarded(t, e);
    case kind::response: return draw_response(t, e);
    case kind::answered: return draw_answered(t, e);

    case kind::call:
    case kind::problem:
    case kind::registered:
    case kind::connected:
    case kind::timed_out:
    case kind::ejected:
    case kind::returned: return draw_thing(t, line_of(e));
  }
}

// --- Threads --------------------------------------------------------------------------------------------------------

timeline::thread& timeline::thread_of(const moment& when) {
  const auto [found, is_new] = threads_.try_emplace(when.tid);
  thread& t = found->second;
  if (is_new) {
    out_.name_thread(when.tid, when.thread);
    t.tid = when.tid;
    t.last = now_;
  }
  return t;
}

// The event before has ended by now. If nothing has said so, it ended with the last thing that was done for it.
void timeline::begin_event(thread& t, const trace_event& e) {
  if (t.in != thread::place::loop && t.open > 0) end_event(t, t.last);
  end_slices(t, 0, now_);
  open_slice(t, line_of(e), now_);
  t.in = thread::place::event;
  t.sfd = e.sfd;
}

void timeline::end_event(thread& t, std::int64_t time) {
  end_slices(t, 0, time);
  open_slice(t, "in the event loop", time);
  t.in = thread::place::loop;
  t.sfd = -1;
}

// Of an event whose beginning is missing nobody knows whose it is.
void timeline::draw_loss(thread& t, std::uint64_t lost) {
  end_slices(t, 0, t.last);
  open_slice(t, std::to_string(lost) + " events lost: too many for this file", t.last);
  t.in = thread::place::event;
  t.sfd = -1;
}

void timeline::draw_thing(thread& t, std::string_view name) {
  if (t.in == thread::place::loop) {  // it has left the loop: when, nobody has said
    end_slices(t, 0, now_);
    t.in = thread::place::outside;
    t.last = now_;
  }
  if (t.open == 0) open_slice(t, "outside the event loop", t.last);
  open_slice(t, name, t.last);
  t.in_thing = true;
}

void timeline::open_slice(thread& t, std::string_view name, std::int64_t time) {
  out_.begin(t.tid, time, name);
  ++t.open;
}

void timeline::end_slices(thread& t, unsigned left, std::int64_t time) {
  for (; t.open > left; --t.open) out_.end(t.tid, time);
  t.in_thing = false;
}

// Within the slice of the thing, shortly before its end: at its end the next one begins.
void timeline::draw_arrow(const thread& t, async_track flow, char phase) {
  last_arrow_ = std::max({last_arrow_, t.last, now_ - 1});
  out_.arrow(phase, flow, t.tid, last_arrow_);
}

// --- Connections ----------------------------------------------------------------------------------------------------

async_track timeline::life_track(const connection& c) { return {"connection", c.number}; }

timeline::connection& timeline::begin_life(int sfd, std::string name) {
  close(sfd);
  end_life(sfd);
  connection& c = connections_[sfd];
  c.number = ++lives_;
  enter(c, level::life, std::move(name));
  return c;
}

timeline::connection& timeline::life_of(int sfd) {
  const auto found = connections_.find(sfd);
  return found != connections_.end() ? found->second : begin_life(sfd, named("connection", sfd));
}

void timeline::close(int sfd) {
  const auto found = connections_.find(sfd);
  if (found == connections_.end() || std::exchange(found->second.is_closing, true)) return;
  if (found->second.is_client) out_.count("connections", "open", now_, --clients_);
}

void timeline::end_life(int sfd) {
  const auto found = connections_.find(sfd);
  if (found == connections_.end()) return;
  leave(found->second, level::life);
  connections_.erase(found);
}

void timeline::enter(connection& c, level depth, std::string name) {
  leave(c, depth);
  out_.begin(life_track(c), now_, name);
  c.open.push_back({depth, std::move(name)});
}

void timeline::leave(connection& c, level depth) {
  for (; !c.open.empty() && c.open.back().depth >= depth; c.open.pop_back()) {
    out_.end(life_track(c), now_, c.open.back().name);
  }
}

void timeline::draw_woken(thread& t, const trace_event& e) {
  begin_event(t, e);
  const auto found = connections_.find(e.sfd);
  if (found == connections_.end()) return;
  leave(found->second, level::asleep);
  const auto state = std::ranges::find(found->second.open, level::state, &slice::depth);
  if (state != found->second.open.end()) open_slice(t, state->name, now_);
}

void timeline::draw_state(thread& t, const trace_event& e) {
  enter(life_of(e.sfd), level::state, std::string(e.more));
  if (t.in != thread::place::event || t.sfd != e.sfd) return;
  end_slices(t, 1, now_);
  open_slice(t, e.more, now_);
}

// A proxy has one place where it sleeps, whoever wakes it; otherwise it is the connection that sleeps.
void timeline::draw_asleep(thread& t, const trace_event& e) {
  end_event(t, now_);
  if (connections_.contains(e.sfd)) draw_sleep(e);
}

void timeline::draw_made(thread& t, const trace_event& e) {
  draw_thing(t, std::to_string(e.sfd) + ": conn_new, in " + std::string(e.text));
  enter(life_of(e.sfd), level::state, std::string(e.text));
  draw_sleep(e);
  draw_way(t, e.sfd, 'f');
}

// On a track of the connection's own, its number says nothing new.
void timeline::draw_sleep(const trace_event& e) {
  const std::string line = line_of(e);
  enter(life_of(e.sfd), level::asleep, line.substr(line.find(' ') + 1));
}

// Another thread may have got the number already, and said so first.
void timeline::draw_given_back(thread& t, const trace_event& e) {
  draw_thing(t, line_of(e));
  const auto found = connections_.find(e.sfd);
  if (found != connections_.end() && found->second.is_closing) end_life(e.sfd);
  if (t.in == thread::place::event && t.sfd == e.sfd) end_event(t, now_);
}

// A byte that comes when its client has been popped is on nobody's way: the worker was awake.
void timeline::draw_queue(thread& t, const trace_event& e) {
  draw_thing(t, line_of(e));
  const connection& c = life_of(e.sfd);
  if (!c.queue.empty()) out_.count(c.queue, "length", now_, e.number);
  if (e.what == kind::pushed) pushed_ = e.sfd;
  if (e.what == kind::popped && pushed_ == e.sfd) pushed_ = -1;
  draw_way(t, e.sfd, 't');
}

void timeline::draw_way(const thread& t, int sfd, char phase) {
  const auto found = connections_.find(sfd);
  if (found == connections_.end()) return;
  connection& c = found->second;
  if (phase == 's') c.on_its_way = true;
  if (c.on_its_way) draw_arrow(t, {"hand-over", c.number}, phase);
  if (phase == 'f') c.on_its_way = false;
}

// --- Requests of a proxy --------------------------------------------------------------------------------------------

namespace {

[[nodiscard]] async_track request_track(std::int64_t id) { return {"request", id}; }

}  // namespace

void timeline::begin_request(std::int64_t id, int sfd, std::string name) {
  end_request(id);
  request& r = requests_[id];
  r.sfd = sfd;
  out_.begin(request_track(id), now_, name);
  r.open.push_back(std::move(name));
}

void timeline::draw_request_arrow(const thread& t, std::int64_t id, char phase) {
  if (requests_.contains(id)) draw_arrow(t, request_track(id), phase);
}

void timeline::draw_fragment(thread& t, const trace_event& e) {
  draw_thing(t, line_of(e));
  draw_request_arrow(t, e.of, 't');
  if (const auto whole = requests_.find(e.of); whole != requests_.end()) whole->second.parts.push_back(e.number);
  begin_request(e.number, -1, "part of a request");
  draw_request_arrow(t, e.number, 's');
}

void timeline::draw_forwarded(thread& t, const trace_event& e) {
  draw_thing(t, line_of(e));
  const auto found = requests_.find(e.number);
  if (found == requests_.end()) return;
  end_request_slices(e.number, found->second, 1);
  found->second.open.push_back(life_of(e.sfd).open.front().name);
  out_.begin(request_track(e.number), now_, found->second.open.back());
  draw_request_arrow(t, e.number, 't');
}

void timeline::draw_response(thread& t, const trace_event& e) {
  draw_thing(t, line_of(e));
  draw_request_arrow(t, e.number, 't');
  const auto found = requests_.find(e.number);
  if (found != requests_.end()) end_request_slices(e.number, found->second, 1);
}

void timeline::draw_answered(thread& t, const trace_event& e) {
  draw_thing(t, line_of(e));
  const auto found = requests_.find(e.number);
  if (found == requests_.end()) return;
  for (const std::int64_t part : found->second.parts) {
    draw_request_arrow(t, part, 'f');
    end_request(part);
  }
  draw_request_arrow(t, e.number, 'f');
  end_request(e.number);
}

void timeline::end_request_slices(std::int64_t id, request& r, std::size_t left) {
  for (; r.open.size() > left; r.open.pop_back()) out_.end(request_track(id), now_, r.open.back());
}

void timeline::end_request(std::int64_t id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  end_request_slices(id, found->second, 0);
  requests_.erase(found);
}

// What their client has not been answered, it never will be.
void timeline::end_requests_of(int sfd) {
  const auto is_its = [sfd](const auto& r) { return r.second.sfd == sfd; };
  for (auto r = requests_.begin(); (r = std::ranges::find_if(requests_, is_its)) != requests_.end();) {
    const std::vector<std::int64_t> parts = r->second.parts;
    for (const std::int64_t part : parts) end_request(part);
    end_request(r->first);
  }
}
