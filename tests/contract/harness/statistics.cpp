// What a server says of itself: the answer to "stats".
#include "statistics.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "printable.h"

namespace contract {

statistics::statistics(client& c, std::string_view group) {
  c.send(group.empty() ? "stats\r\n" : "stats " + std::string{group} + "\r\n");
  for (std::string line = c.receive_line(); line != "END\r\n"; line = c.receive_line()) {
    const std::size_t name_end = line.find(' ', 5);
    if (!line.starts_with("STAT ") || !line.ends_with("\r\n") || name_end == std::string::npos) {
      throw std::runtime_error("not a line of statistics: " + printable(line));
    }
    lines_.emplace_back(line.substr(5, name_end - 5), line.substr(name_end + 1, line.size() - name_end - 3));
  }
}

bool statistics::has(std::string_view name) const {
  return std::ranges::any_of(lines_, [&](const auto& line) { return line.first == name; });
}

const std::string& statistics::text(std::string_view name) const {
  const auto line = std::ranges::find_if(lines_, [&](const auto& l) { return l.first == name; });
  if (line == lines_.end()) throw std::runtime_error("no such statistic: " + std::string{name});
  return line->second;
}

long long statistics::number(std::string_view name) const {
  const std::string& value = text(name);
  long long number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size()) {
    throw std::runtime_error("not a number: " + std::string{name} + " " + value);
  }
  return number;
}

}  // namespace contract
