// What one command asks of the connection that received it. The protocols produce outcomes; the state machine acts on
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/storage/store.h"

namespace protocol {

struct outcome {
  enum class kind : std::uint8_t {
    reply_line,  // send `line`, then the next command
    reply_text,  // send `text` as it is (many lines, already ended), then the next command
    send_items,  // send what process_command put into `items`, then the next command
    want_value,  // read item->data() from the stream, then call complete_value
    skip_value,  // send `line` if it is not empty, then skip `swallow_bytes` of the stream, then the next command
    nothing,     // the next command
    hang_up,     // send `line` if it is not empty, then close the connection
  };

  kind what = kind::nothing;
  std::string_view line;  // without \r\n; valid until the next call with the same outcome object
  std::string text;

  // want_value: the item to fill, and what to do with it once it is full.
  storage::item_ref item;
  storage::store_mode mode = storage::store_mode::set;
  std::uint64_t cas = 0;
  bool noreply = false;

  std::size_t swallow_bytes = 0;

  // send_items: whether each VALUE line ends in the item's cas number.
  bool with_cas = false;

  char scratch[64];  // where `line` lives when it is not a literal
};

}  // namespace protocol
