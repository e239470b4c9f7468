// Holds threads where they are: at a trace point, in the middle of what they do. Who holds whom is said by rules, and
// whoever makes the rules lets the threads go on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/trace/tracer.h"

// Catches one thread: the one that comes to the count-th event that fits.
struct hold_rule {
  std::string thread{};                     // "worker 1"; "main": a thread without a name; "": any
  std::optional<trace_event::kind> what{};  // none: any
  std::optional<int> sfd{};                 // none: any
  std::string text{};                       // a part of the line that -vvv prints of the event
  unsigned count = 1;
};

// Where a thread is held.
struct held_thread {
  std::string thread;
  trace_event::kind what;
  int sfd;
  std::int64_t number;
  std::string line;  // as -vvv prints the event
};

// While anybody is held the process's clock stands still (stoppable_clock), and a timer that is due does nothing; but
// one that was caught by a rule of its own does what it does once it is released. Where two rules fit, the elder one
// hears of the event, and the other one does not.
//
// Thread: any, at once. `lock_` guards what is below it.
class holding {
 public:
  // `caught` is called whenever a thread has been caught, on that thread, under the lock.
  explicit holding(std::function<void()> caught);
  ~holding();
  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;

  // Returns the rule's number. Once the rule has caught a thread it catches no other one.
  unsigned hold(hold_rule rule);

  // The thread that the rule holds goes on; the rule, whether it has caught somebody or not, is gone. False: there is
  // no such rule.
  bool release(unsigned number);
  void release_all();

  // The thread goes on to its next event, whatever that is, and is held there, by the same rule. False: the rule holds
  // nobody.
  bool step(unsigned number);

  // release_all(), and no rule catches anybody any more.
  void let_go();

  [[nodiscard]] bool knows(unsigned number) const;
  [[nodiscard]] std::optional<held_thread> held(unsigned number) const;  // none: nobody yet

  // Everything that is held, and the rules that wait, a line each.
  [[nodiscard]] std::vector<std::string> where() const;

  // What a sink hears. Returns when the thread may go on.
  void hear(const trace_event& e);
  [[nodiscard]] bool hear_timer(const trace_event& e);

 private:
  struct entry {
    unsigned number;
    hold_rule rule;
    std::thread::id only{};              // of a rule that steps: the thread. Else nobody
    std::optional<held_thread> holds{};  // whom it has caught
    bool* goes_on = nullptr;             // what that thread waits for
  };

  [[nodiscard]] entry* catching(const trace_event& e);
  [[nodiscard]] const entry* find(unsigned number) const;
  void wait_at(const trace_event& e, entry& by, std::unique_lock<std::mutex>& hold);
  void go_on(entry& from);
  void update_watching();

  const std::function<void()> caught_;
  std::atomic<bool> watching_ = false;  // whether there is a rule at all: all other events cost one look

  mutable std::mutex lock_;
  std::condition_variable released_;
  std::list<entry> entries_;
  unsigned last_number_ = 0;
  unsigned held_ = 0;     // threads
  bool is_over_ = false;  // after let_go()
};
