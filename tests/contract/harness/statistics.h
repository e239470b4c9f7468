// What a server says of itself: the answer to "stats".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client.h"

namespace contract {

// The lines of one group, in their order.
class statistics {
 public:
  // Asks for `group` ("" for the general one). Throws std::runtime_error if the answer is not lines of STAT and then
  // END.
  explicit statistics(client& c, std::string_view group = "");

  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& lines() const noexcept { return lines_; }
  [[nodiscard]] bool has(std::string_view name) const;
  // Throws std::runtime_error if there is no such line.
  [[nodiscard]] const std::string& text(std::string_view name) const;
  // Throws likewise if it is not a number.
  [[nodiscard]] long long number(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

}  // namespace contract
