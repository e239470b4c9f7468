// memcached's binary protocol (1.4.25), as pure functions: bytes in, outcome out. No sockets, no events.
//
// A request comes in three parts, and each says whether the next one is to be read:
//
//     header (24 bytes)      -> decode_binary_header, check_binary_request
//     extras and key         -> process_binary_request
//     value, into its item   -> complete_binary_value
//
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/protocol/binary_header.h"
#include "common/protocol/environment.h"
#include "common/storage/store.h"

namespace protocol {

// What a request asks of the connection that received it.
struct binary_outcome {
  enum class kind : std::uint8_t {
    reply_packet,  // send `packet`, then the next request
    reply_text,    // send `text` (many packets), then the next request
    send_item,     // send `packet`, then the key of `item` if with_key, then its value(); then the next request
    want_value,    // read item->value().size() bytes, perhaps none, into item->data(), then call complete_binary_value
    skip_value,    // send `packet`, then skip `swallow_bytes` of the stream, then the next request
    nothing,       // the next request
    hang_up,       // close the connection; send `packet` first if it is not empty
  };

  kind what = kind::nothing;
  std::string_view packet;  // valid until the next call with the same outcome object
  std::string text;

  // send_item: what is sent. want_value: what is to be filled, and what to do with it once it is full.
  storage::item_ref item;
  bool with_key = false;
  storage::store_mode mode = storage::store_mode::set;
  std::uint64_t cas = 0;

  std::size_t swallow_bytes = 0;

  char scratch[binary_header_size + key_max_length];  // where `packet` lives
};

// The longest extras are those of increment and decrement.
inline constexpr std::size_t max_extras_and_key_size = 20 + key_max_length;

// Judges a request by its header alone. True: header.extras_and_key_size() bytes, at most max_extras_and_key_size and
// perhaps none, are to be read and given to process_binary_request. False: `out` is skip_value or hang_up.
[[nodiscard]] bool check_binary_request(const binary_request_header& header, binary_outcome& out) noexcept;

// Executes a request that check_binary_request has let pass, up to its value if it has one.
void process_binary_request(environment& env, const binary_request_header& header, std::string_view extras_and_key,
                            binary_outcome& out) noexcept;

// Executes a storage command whose value has arrived whole: puts the \r\n behind it, stores, fills `out` (reply_packet
// or nothing).
void complete_binary_value(environment& env, const binary_request_header& header, storage::item_ref item,
                           storage::store_mode mode, std::uint64_t cas, binary_outcome& out) noexcept;

}  // namespace protocol
