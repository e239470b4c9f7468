// What the text protocol has to answer, by a second reading of it that is slow and simple: strings and a std::map.
// Shares no code with common/: the two were written apart so that they can be wrong apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

// The clock of every run stands still here, in seconds since 1970: an input must mean the same whenever it is run.
inline constexpr std::int64_t now = 1'500'000'000;

// So small that inputs get beyond it.
inline constexpr std::size_t item_size_max = 1024;

// Hears both sides of one conversation with a server whose memory never runs short, and ends the process with a
// report as soon as the server says something wrong. The server counts its cas numbers from 1.
class model {
 public:
  void sent(std::string_view bytes);
  void heard(std::string_view bytes);
  // The server has hung up.
  void heard_end();

  // Nothing that either side does will be looked at any more: the server has hung up, or has said that it will.
  [[nodiscard]] bool over() const noexcept { return ended_ || will_end_; }
  // To be asked at rest, when all that was sent has been read. Ends the process unless all replies are there, and the
  // server has hung up if and only if it must.
  void check_at_rest() const;
  // What completes the command or value that the client is in the middle of: "" for none; nullopt: too much to send.
  [[nodiscard]] std::optional<std::string> missing() const;

  // Every key that the client may have stored something under.
  [[nodiscard]] const std::set<std::string>& keys() const noexcept { return keys_; }
  // A command that asks for every item there is: "" for none.
  [[nodiscard]] std::string inventory() const;

 private:
  // A part of what the server has to say.
  struct part {
    enum class kind {
      text,     // exactly this
      listing,  // lines of statistics, up to END, or this instead
      may_end,  // it may hang up here
      end,      // it hangs up here
    };
    kind what;
    std::string text{};
  };

  struct item {
    std::string flags;
    std::string value;
    std::uint64_t cas;
  };

  // A value on its way.
  struct upload {
    std::string mode;
    std::string key;
    std::string flags;
    bool expired;
    std::uint64_t cas;
    bool refused;         // its reply was given already
    std::size_t missing;  // bytes still to come, with the final \r\n
    std::string value;
  };

  using words = std::span<const std::string>;  // the command is word 0

  struct command {
    void (model::*run)(words);
    std::size_t fewest;
    std::size_t most;
  };
  static const std::map<std::string, command, std::less<>>& commands();

  void receive_value();
  void receive_line();
  void run_line(std::string_view line);
  void finish_upload();
  void store(const std::string& key, item it, bool expired);

  void get(words w);
  void update(words w);
  void arithmetic(words w);
  void remove(words w);
  void touch(words w);
  void flush_all(words w);
  void verbosity(words w);
  void stats(words w);
  void stats_detail(words w);
  void stats_cachedump(words w);
  void version(words w);
  void shutdown(words w);
  void quit(words w);

  void say(std::string_view line);
  void list(std::string_view instead = "") { parts_.push_back({part::kind::listing, std::string(instead)}); }
  void may_end();

  bool match();
  bool match_text(std::string& text);
  bool match_line(std::string_view instead);
  [[noreturn]] void fail(std::string_view what) const;

  // The client's side.
  std::string input_;  // the line that has begun
  std::optional<upload> upload_;
  bool quiet_ = false;         // the command asked for no reply
  bool line_may_end_ = false;  // the server may give up on the line that has begun
  bool will_end_ = false;
  std::map<std::string, item, std::less<>> items_;
  std::set<std::string> keys_;
  std::uint64_t last_cas_ = 0;

  // The server's side.
  std::deque<part> parts_;
  std::string replies_;  // heard and not matched yet
  bool ended_ = false;

  std::string all_sent_;
  std::string all_heard_;
};

}  // namespace fuzz
