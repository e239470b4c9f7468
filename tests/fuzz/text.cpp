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

#include "tests/fuzz/lines.h"
#include "tests/fuzz/session.h"

namespace {

class text_session : public fuzz::session {
 public:
  using session::session;

 private:
  bool read_request() override {
    if (item_) return read_value();
    return read_command();
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
    if (!end) return false;
    protocol::process_command(env_, std::string_view(input_).substr(0, end->line), out_, items_);
    input_.erase(0, end->consumed);
    act();
    return true;
  }

  void act() {
    using enum protocol::outcome::kind;
    switch (out_.what) {
      case reply_line: say(out_.line); break;
      case reply_text: replies_ += out_.text; break;
      case send_items: say_items(); break;
      case want_value:
        item_ = std::move(out_.item);
        filled_ = 0;
        mode_ = out_.mode;
        cas_ = out_.cas;
        noreply_ = out_.noreply;
        break;
      case skip_value:
        if (!out_.line.empty()) say(out_.line);
        swallow_ = out_.swallow_bytes;
        break;
      case nothing: break;
      case hang_up:
        if (!out_.line.empty()) say(out_.line);
        hung_up_ = true;
        break;
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

  protocol::outcome out_;

  std::vector<storage::item_ref> items_;  // found by the last get
  std::size_t filled_ = 0;
  bool noreply_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::converse_with<text_session, fuzz::lines>({data, size});
  return 0;
}
