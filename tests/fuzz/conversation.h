// One run of a fuzz target: a server under test, and a client that says what the fuzzer made up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/storage/store.h"
#include "tests/fuzz/model.h"

namespace fuzz {

// A server with one connection.
class subject {
 public:
  virtual ~subject() = default;
  // Nothing happens once it has hung up.
  virtual void send(std::string_view bytes) = 0;
  // All that it has to say by now and has not said before.
  [[nodiscard]] virtual std::string hear() = 0;
  [[nodiscard]] virtual bool has_hung_up() const = 0;
};

// An input is a plan of eight bytes, and then what the client sends. Thread: a view of the input, a plain value.
class script {
 public:
  static constexpr std::size_t plan_size = 8;

  // How the client goes, by the first byte of the plan.
  enum class ending {
    polite,       // it completes what it is in the middle of, and closes when it has had all replies
    no_more,      // the same, but it waits for the server to close
    abrupt,       // it closes, wherever it is
    server_ends,  // the server is destroyed while the connection is open
  };

  // The input has at least plan_size bytes.
  explicit script(std::span<const std::uint8_t> input) noexcept : input_(input) {}

  [[nodiscard]] ending how() const noexcept { return static_cast<ending>(input_[0] & 3); }
  [[nodiscard]] bool is_polite() const noexcept { return how() == ending::polite || how() == ending::no_more; }
  // What the first byte says to a server that speaks both protocols.
  [[nodiscard]] bool begins_a_packet() const noexcept { return text().starts_with('\x80'); }

  // What is sent at once, and whether the client reads the replies before it goes on. The other bytes of the plan, over
  // and over: how many bytes (0: all that are left), and in the top bit, not to read.
  struct part {
    std::string_view bytes;
    bool listen;
  };
  [[nodiscard]] bool done() const noexcept { return sent_ == text().size(); }
  [[nodiscard]] part next() noexcept;

 private:
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(input_.data()) + plan_size, input_.size() - plan_size};
  }

  std::span<const std::uint8_t> input_;
  std::size_t sent_ = 0;
  std::size_t parts_ = 0;
};

// Plays the script, up to where its ending begins. Ends the process with a report when the server errs. A polite client
// asks at last for everything, as ask_for_everything() does, whatever came before.
void converse(subject& server, model& m, script s);

// Between two requests: every item must be there, and an answer that can be the last one's only, and nothing else.
void ask_for_everything(subject& server, model& m);

// To be asked when no connection is left. Removes what the clients may have stored, and ends the process with a report
// if a chunk is in use then: somebody has kept a reference.
void check_memory(storage::store& store, const contents& stored);

// Ends the process with a report.
[[noreturn]] void fail(std::string_view what);

}  // namespace fuzz
