// Fuzz target: the text protocol over a real store, without sockets or events.
#include "common/protocol/text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/storage/store.h"
#include "tests/fuzz/conversation.h"
#include "tests/fuzz/lines.h"

namespace {

storage::options small_items() {
  storage::options opts;
  opts.item_size_max = fuzz::item_size_max;
  opts.hash_power = 1;  // it grows soon
  return opts;
}

// The machine of a chapter without its sockets.
class session : public fuzz::subject {
 public:
  explicit session(storage::store& store)
      : env_{store, commands_, true, {}, [](std::string_view group, const storage::add_stat& add) {
               add("group", group);
               return group.empty() || group == "settings";
             }} {}

  void send(std::string_view bytes) override {
    input_ += bytes;
    while (!hung_up_ && step()) continue;
  }

  std::string hear() override { return std::exchange(replies_, {}); }
  bool has_hung_up() const override { return hung_up_; }

 private:
  // False: what is left of the input is not enough for another step.
  bool step() {
    if (swallow_ > 0) return swallow();
    if (item_) return read_value();
    return read_command();
  }

  bool swallow() {
    const std::size_t n = std::min(swallow_, input_.size());
    input_.erase(0, n);
    swallow_ -= n;
    return n > 0;
  }

  bool read_value() {
    const std::span<char> room = item_->data().subspan(filled_);
    const std::size_t n = input_.copy(room.data(), room.size());
    input_.erase(0, n);
    filled_ += n;
    if (n < room.size()) return false;
    protocol::complete_value(env_, std::move(item_), mode_, cas_, noreply_, out_);
    act();
    return true;
  }

  bool read_command() {
    const auto end = protocol::find_line(input_);
    if (!end) {
      hung_up_ = !protocol::may_grow_into_command(input_);
      return false;
    }
    protocol::process_command(env_, std::string_view(input_).substr(0, end->line), out_, items_);
    input_.erase(0, end->consumed);
    act();
    return true;
  }

  void act() {
    using enum protocol::outcome::kind;
    switch (out_.what) {
      case reply: say(out_.line); break;
      case reply_text: replies_ += out_.text; break;
      case send_items: say_items(); break;
      case read_value:
        item_ = std::move(out_.item);
        filled_ = 0;
        mode_ = out_.mode;
        cas_ = out_.cas;
        noreply_ = out_.noreply;
        break;
      case swallow:
        if (!out_.line.empty()) say(out_.line);
        swallow_ = out_.swallow_bytes;
        break;
      case nothing: break;
      case hang_up: hung_up_ = true; break;
    }
  }

  void say(std::string_view line) { replies_.append(line).append("\r\n"); }

  void say_items() {
    for (const storage::item_ref& ref : items_) {
      const storage::item& it = *ref;
      replies_.append("VALUE ").append(it.key_and_suffix());
      if (out_.with_cas) replies_.insert(replies_.size() - 2, " " + std::to_string(it.cas));
      replies_.append(it.data());
    }
    say("END");
  }

  protocol::command_stats commands_;
  protocol::environment env_;
  protocol::outcome out_;
  std::string input_;
  std::string replies_;
  bool hung_up_ = false;

  std::vector<storage::item_ref> items_;  // found by the last get
  storage::item_ref item_;                // waits for its value
  std::size_t filled_ = 0;
  storage::store_mode mode_{};
  std::uint64_t cas_ = 0;
  bool noreply_ = false;
  std::size_t swallow_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < fuzz::script::plan_size) return 0;
  storage::store store(small_items());
  store.set_time(fuzz::now);
  fuzz::contents stored;
  fuzz::lines m(stored);
  {
    session s(store);
    fuzz::converse(s, m, fuzz::script({data, size}));
  }
  fuzz::check_memory(store, stored);
  return 0;
}
