// The words of a command line.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace protocol {

// Takes the first word from `rest`, and the blanks before it. Empty: there is none.
inline std::string_view cut_word(std::string_view& rest) noexcept {
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  const auto word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

// Splits at blanks, and at blanks only: a tab belongs to its word. A NUL ends the line, as it does where lines are C
// strings. The first words are at hand by number; a "get" may have any number of them and walks through with next().
class tokens {
 public:
  // One more than the longest command has ("cas <key> <flags> <exptime> <bytes> <cas unique> noreply"), to tell when
  // there are too many.
  static constexpr std::size_t most = 8;

  explicit tokens(std::string_view line) noexcept : rest_(line.substr(0, line.find('\0'))) {
    while (size_ < most && !(words_[size_] = cut_word(rest_)).empty()) ++size_;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }  // at most `most`
  // The command is word 0. Empty where the line has no such word.
  [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept { return words_[i]; }
  [[nodiscard]] std::string_view last() const noexcept { return size_ == 0 ? std::string_view{} : words_[size_ - 1]; }

  // The words behind the command, one a call, however many there are; then empty.
  [[nodiscard]] std::string_view next() noexcept { return next_ < size_ ? words_[next_++] : cut_word(rest_); }

 private:
  std::string_view rest_;
  std::array<std::string_view, most> words_;
  std::size_t size_ = 0;
  std::size_t next_ = 1;
};

}  // namespace protocol
