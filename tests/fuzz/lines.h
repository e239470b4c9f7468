// The text protocol, by a second reading of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tests/fuzz/model.h"

namespace fuzz {

class lines : public model {
 public:
  using model::model;

  [[nodiscard]] std::optional<std::string> missing() const override;
  [[nodiscard]] std::string last_question() const override;

 private:
  // A value on its way.
  struct upload {
    contents::update update;
    bool refused;         // its reply was given already
    std::size_t missing;  // bytes still to come, with the final \r\n
  };

  using words = std::span<const std::string>;  // the command is word 0

  struct command {
    void (lines::*run)(words);
    std::size_t fewest;
    std::size_t most;
  };
  static const std::map<std::string, command, std::less<>>& commands();

  void receive() override;
  void receive_value();
  void receive_line();
  void run_line(std::string_view line);
  void finish_upload();

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
  [[nodiscard]] std::optional<entry> entry_of_list(std::string_view heard, std::string_view instead) const override;

  std::optional<upload> upload_;
  bool quiet_ = false;  // the command asked for no reply
};

}  // namespace fuzz
