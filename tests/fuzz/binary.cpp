// Fuzz target: the binary protocol over a real store, without sockets or events.
#include "common/protocol/binary.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/fuzz/packets.h"
#include "tests/fuzz/session.h"

namespace {

class binary_session : public fuzz::session {
 public:
  using session::session;

 private:
  bool read_request() override {
    if (item_) return read_value();
    if (header_) return read_extras_and_key();
    return read_header();
  }

  bool read_header() {
    const auto bytes = take(protocol::binary_header_size);
    if (!bytes) return false;
    header_ = protocol::decode_binary_header(std::span(*bytes).first<protocol::binary_header_size>());
    if (!header_) {
      hung_up_ = true;
    } else if (!protocol::check_binary_request(*header_, out_)) {
      act(header_->bodylen);
    }
    return true;
  }

  bool read_extras_and_key() {
    if (header_->extras_and_key_size() > protocol::max_extras_and_key_size)
      fuzz::fail("more extras and key than allowed");
    const auto bytes = take(header_->extras_and_key_size());
    if (!bytes) return false;
    protocol::process_binary_request(env_, *header_, {bytes->data(), bytes->size()}, out_);
    act(header_->value_size());
    return true;
  }

  bool read_value() {
    const std::span<char> room = item_->data().first(std::as_const(*item_).value().size());
    const auto bytes = take(room.size());
    if (!bytes) return false;
    std::ranges::copy(*bytes, room.begin());
    protocol::complete_binary_value(env_, *header_, std::move(item_), mode_, cas_, out_);
    act(0);
    return true;
  }

  // Exactly as much memory as it needs: whoever reads beyond is caught.
  std::optional<std::vector<char>> take(std::size_t n) {
    if (input_.size() < n) return std::nullopt;
    std::vector<char> bytes(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(n));
    input_.erase(0, n);
    return bytes;
  }

  // `left` bytes of the request have not been read: this is what must be wanted.
  void act(std::size_t left) {
    using enum protocol::binary_outcome::kind;
    std::size_t wanted = 0;
    switch (out_.what) {
      case reply_packet: replies_ += out_.packet; break;
      case reply_text: replies_ += out_.text; break;
      case send_item:
        replies_ += out_.packet;
        if (out_.with_key) replies_ += out_.item->key();
        replies_ += std::as_const(*out_.item).value();
        break;
      case want_value:
        item_ = std::move(out_.item);
        mode_ = out_.mode;
        cas_ = out_.cas;
        wanted = std::as_const(*item_).value().size();
        break;
      case skip_value:
        replies_ += out_.packet;
        wanted = swallow_ = out_.swallow_bytes;
        break;
      case nothing: break;
      case hang_up:
        replies_ += out_.packet;
        hung_up_ = true;
        return;
    }
    if (wanted != left) {
      fuzz::fail("the request wants " + std::to_string(wanted) + " bytes more, but has " + std::to_string(left));
    }
    if (out_.item && out_.what != send_item) fuzz::fail("an item is left over");
    if (!item_) header_.reset();
  }

  protocol::binary_outcome out_;

  std::optional<protocol::binary_request_header> header_;  // of a request that has begun
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::converse_with<binary_session, fuzz::packets>({data, size});
  return 0;
}
