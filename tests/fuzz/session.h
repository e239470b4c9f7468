// What the two parsers' targets share: the machine of a chapter without its sockets.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/protocol/command_stats.h"
#include "common/protocol/environment.h"
#include "common/storage/store.h"
#include "tests/fuzz/conversation.h"

namespace fuzz {

// A parser, what a client has sent it, and what it has said. What is derived from it reads requests.
class session : public subject {
 public:
  explicit session(storage::store& store)
      : env_{store, commands_, true, {}, [](std::string_view group, const add_stat& add) {
               add("group", group);
               return group.empty() || group == "settings";
             }} {}

  void send(std::string_view bytes) override {
    input_ += bytes;
    while (!hung_up_ && (swallow_ > 0 ? swallow() : read_request())) continue;
  }

  std::string hear() override { return std::exchange(replies_, {}); }
  bool has_hung_up() const override { return hung_up_; }

 protected:
  // One step. False: what is left of the input is not enough for another one.
  virtual bool read_request() = 0;

  protocol::command_stats commands_;
  protocol::environment env_;
  std::string input_;
  std::string replies_;
  bool hung_up_ = false;

  storage::item_ref item_;  // waits for its value
  storage::store_mode mode_{};
  std::uint64_t cas_ = 0;
  std::size_t swallow_ = 0;

 private:
  bool swallow() {
    const std::size_t n = std::min(swallow_, input_.size());
    input_.erase(0, n);
    swallow_ -= n;
    return n > 0;
  }
};

// A fuzz target's one run.
template <typename Session, typename Model>
void converse_with(std::span<const std::uint8_t> input) {
  if (input.size() < script::plan_size) return;
  storage::options opts;
  opts.item_size_max = item_size_max;
  opts.hash_power = 1;  // it grows soon
  storage::store store(opts);
  store.set_time(now);
  contents stored;
  Model model(stored);
  {
    Session server(store);
    converse(server, model, script(input));
  }
  check_memory(store, stored);
}

}  // namespace fuzz
