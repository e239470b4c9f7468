// Chrome's trace events as text, one per line with a comma behind it: inside "[" and "]" they are the file that
// https://ui.perfetto.dev opens, and it opens without the end, too. Source: "Trace Event Format", JSON Array Format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// A track that is no thread's. Tracks of one category whose names are equal are drawn below one another.
struct async_track {
  std::string_view category;
  std::int64_t id;
};

// Times are nanoseconds. Names may hold any printable ASCII (tracer's lines do).
// Thread: one. Throws std::bad_alloc.
class chrome_json {
 public:
  chrome_json(int pid, std::string_view program);

  void name_thread(int tid, std::string_view name);

  // Slices of a thread. They nest. (A whole slice, with its duration, could be one line: but the viewer rounds what it
  // reads, and a sum may then overlap its neighbour.)
  void begin(int tid, std::int64_t time, std::string_view name);
  void end(int tid, std::int64_t time);

  // Slices of another track, and what takes no time there.
  void begin(async_track track, std::int64_t time, std::string_view name);
  void end(async_track track, std::int64_t time, std::string_view name);
  void instant(async_track track, std::int64_t time, std::string_view name);

  // An arrow, from the innermost slice that is open on this thread ('s') through others ('t') to the last ('f').
  void arrow(char phase, async_track flow, int tid, std::int64_t time);

  // The value of a counter, from now on.
  void count(std::string_view counter, std::string_view what, std::int64_t time, std::int64_t value);

  // The last line, which has no comma: what there is to say of all of it.
  void last(std::int64_t time, std::string_view text);

  // Whole lines, those since the last call; and how many bytes they are.
  [[nodiscard]] std::string taken();
  [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }

 private:
  void open(char phase, std::string_view name);
  void text(std::string_view key, std::string_view value);
  void number(std::string_view key, std::int64_t value);
  void time(std::string_view key, std::int64_t nanoseconds);
  void track(async_track track);
  void close();

  int pid_;
  std::string text_;
};
