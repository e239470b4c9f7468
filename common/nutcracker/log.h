// The proxy's log: nutcracker's twelve levels, a date before each line, to stderr or to a file that can be changed for
// another while it is written to.
#pragma once

#include <array>
#include <atomic>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "common/net/unique_fd.h"

namespace nutcracker {

// The higher, the more is said.
enum class log_level : std::uint8_t {
  emerg,  // it cannot go on
  alert,
  crit,
  error,
  warn,
  notice,  // what nutcracker says unless it is told otherwise
  info,
  debug,
  verb,
  vverb,
  vvverb,
  pverb,
};

// In the order of log_level.
inline constexpr std::array<std::string_view, 12> log_level_names = {
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug", "verb", "vverb", "vvverb", "pverb",
};

// A part of a line: text, or a number. Lives as long as the call that it is an argument of.
class log_piece {
 public:
  template <std::convertible_to<std::string_view> Text>
  log_piece(const Text& text) noexcept : text_(text) {}
  template <std::integral Number>
  log_piece(Number number) noexcept {
    text_ = {digits_.data(), std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr};
  }
  log_piece(const log_piece&) = delete;
  log_piece& operator=(const log_piece&) = delete;

  [[nodiscard]] std::string_view text() const noexcept { return text_; }

 private:
  std::array<char, 20> digits_;
  std::string_view text_;
};

// Thread: any. Nothing is locked: the level is atomic, and a line is one write(2) to a file opened with O_APPEND, so
// that lines of several threads, or of several proxies, do not mix. Owns: the file's descriptor.
class logger {
 public:
  // An empty path: stderr. Throws std::system_error that names the file.
  logger(log_level level, std::string path);

  // Ask before a piece that costs something.
  [[nodiscard]] bool loggable(log_level level) const noexcept { return level <= this->level(); }

  // "[2014-07-01 12:34:56.789] warn: the pieces", in local time. Nothing if it is not loggable. Bytes that are not
  // printable ASCII are shown as \xNN, so that no client writes lines of its own; what is over 1 KiB is cut and ends in
  // "...". A line that the file does not take is lost. Allocates nothing and leaves errno as it was.
  template <typename... Pieces>
  void line(log_level level, const Pieces&... pieces) noexcept {
    if (loggable(level)) write_line(level, std::array<log_piece, sizeof...(pieces)>{pieces...});
  }

  [[nodiscard]] log_level level() const noexcept { return level_.load(std::memory_order_relaxed); }

  // The next three may be called in a signal handler.

  // SIGHUP, after a log rotation: goes on in a new file of the same name. If there cannot be one, returns why and goes
  // on in the old one, whereas nutcracker logs no more. Of stderr: does nothing.
  [[nodiscard]] std::error_code reopen() noexcept;

  // SIGTTIN and SIGTTOU: one level more or less, as far as there are any. Return the new one. One thread at a time.
  log_level louder() noexcept;
  log_level quieter() noexcept;

 private:
  void write_line(log_level level, std::span<const log_piece> pieces) noexcept;
  [[nodiscard]] int open_file() const noexcept;

  std::string path_;
  net::unique_fd file_;  // none: stderr
  std::atomic<log_level> level_;
};

}  // namespace nutcracker
