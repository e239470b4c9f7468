// --trace FILE: all that the trace hears, as Chrome's trace events.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/net/unique_fd.h"
#include "common/trace/chrome_json.h"
#include "common/trace/event_ring.h"
#include "common/trace/timeline.h"
#include "common/trace/tracer.h"

// Whoever hears an event puts it into the ring of his thread, and waits for nobody; a thread of the file's own takes it
// out, draws it and writes it down. A ring that is full loses events, first those that come with every request: how
// many is said where they are missing, and at the end.
//
// The file opens at any moment, without its end: a server that is killed leaves what it had heard 10 ms before. A disk
// that is full is said on stderr, and the file ends with its last whole event.
//
// Thread: hear() is any thread's. Owns: the file, the rings, and the thread that writes, which hears no signals.
class trace_file : public trace_sink {
 public:
  // Throws std::system_error that names the path.
  explicit trace_file(std::string path);
  // Writes what is left, and the end.
  ~trace_file() override;

  void hear(const trace_event& e) noexcept override;

 private:
  // Of a thread that hears. Its ring is filled by it, and emptied by the thread that writes.
  struct ear {
    ear();
    const int tid;
    const std::string name;
    event_ring events;
    std::atomic<std::uint64_t> lost = 0;  // since the last event that found room
  };

  [[nodiscard]] ear* this_ear() noexcept;
  void write_all(std::stop_token stop);
  bool draw_what_is_there();
  void draw_end();
  void write_drawn();
  void give_up(int error) noexcept;
  [[nodiscard]] bool put(std::string_view text) noexcept;

  const std::string path_;
  const std::uint64_t number_;  // among the files of this process: in tests threads outlive a file
  net::unique_fd fd_;
  std::atomic<std::uint64_t> order_ = 0;  // the next event's

  std::mutex ears_lock_;
  std::vector<std::unique_ptr<ear>> ears_;  // under its lock

  // Of the thread that writes.
  chrome_json json_;
  timeline timeline_{json_};
  std::uint64_t next_ = 0;  // the order of the event that comes next
  std::uint64_t lost_ = 0;  // of all threads
  long long size_ = 0;      // of the file, in whole events
  bool failed_ = false;

  std::mutex pause_lock_;
  std::condition_variable_any pause_;
  std::jthread writer_;
};
