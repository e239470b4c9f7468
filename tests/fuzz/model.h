// What a server has to answer to one client, whichever protocol the two speak.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tests/fuzz/contents.h"

namespace fuzz {

// Hears both sides of one conversation, and ends the process with a report as soon as the server says something wrong.
// What it makes of the client's bytes is for the protocols to say: lines.h, packets.h.
class model {
 public:
  explicit model(contents& stored) noexcept : stored_(stored) {}
  virtual ~model() = default;
  model(const model&) = delete;
  model& operator=(const model&) = delete;

  void sent(std::string_view bytes);
  void heard(std::string_view bytes);
  // The server has hung up.
  void heard_end();

  // Nothing that either side does will be looked at any more: the server has hung up, or has said that it will.
  [[nodiscard]] bool over() const noexcept { return ended_ || will_end_; }
  // To be asked at rest, when all that was sent has been read. Ends the process unless all replies are there, and the
  // server has hung up if and only if it must.
  void check_at_rest() const;

  // What completes the request that the client is in the middle of: "" for none; nullopt: too much to send.
  [[nodiscard]] virtual std::optional<std::string> missing() const = 0;
  // Asks for every item there is, and then for something whose answer must come last and can be nothing else's.
  [[nodiscard]] virtual std::string last_question() const = 0;

 protected:
  static constexpr std::size_t most_sent_at_the_end = 64u << 10;

  // One more byte has come into input_.
  virtual void receive() = 0;

  // A part of a list, or what may come instead of one, at the beginning of what was heard; of size 0 if it is neither.
  // nullopt: it is not whole.
  struct entry {
    std::size_t size;
    bool last;
  };
  [[nodiscard]] virtual std::optional<entry> entry_of_list(std::string_view heard, std::string_view instead) const = 0;

  // What the server has to say next: exactly this; a list, or this instead; or nothing more.
  void expect(std::string text) { parts_.push_back({part::kind::text, std::move(text)}); }
  void expect_list(std::string instead = "") { parts_.push_back({part::kind::list, std::move(instead)}); }
  void expect_end();

  contents& stored_;
  std::string input_;  // of the client, and not used yet

 private:
  struct part {
    enum class kind { text, list, end };
    kind what;
    std::string text{};
  };

  bool match();
  bool match_text(std::string& text);
  bool match_list(std::string_view instead);
  [[noreturn]] void fail(std::string_view what) const;

  std::deque<part> parts_;
  std::string replies_;  // heard and not matched yet
  bool will_end_ = false;
  bool ended_ = false;

  std::string all_sent_;
  std::string all_heard_;
};

}  // namespace fuzz
