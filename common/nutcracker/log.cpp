// The proxy's log.
#include "common/nutcracker/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <utility>

namespace nutcracker {
namespace {

// At most 1 KiB, built without allocating.
class log_line {
 public:
  // "[2014-07-01 12:34:56.789] "
  void put_date(std::chrono::system_clock::time_point now) noexcept {
    using namespace std::chrono;
    const std::time_t seconds = system_clock::to_time_t(now);
    const auto thousandths = static_cast<unsigned>(floor<milliseconds>(now).time_since_epoch().count() % 1000);
    std::tm local{};
    localtime_r(&seconds, &local);
    size_ = std::strftime(bytes_.data(), room, "[%Y-%m-%d %H:%M:%S.", &local);
    for (const unsigned digit : {thousandths / 100, thousandths / 10 % 10, thousandths % 10}) {
      bytes_[size_++] = static_cast<char>('0' + digit);
    }
    put("] ");
  }

  void put(std::string_view text) noexcept {
    for (const char c : text) put(c);
  }

  // With its newline.
  [[nodiscard]] std::string_view finished() noexcept {
    if (cut_) size_ += ellipsis.copy(&bytes_[size_], ellipsis.size());
    bytes_[size_++] = '\n';
    return {bytes_.data(), size_};
  }

 private:
  static constexpr std::string_view ellipsis = "...";
  static constexpr std::size_t room = 1024 - ellipsis.size() - 1;

  void put(char c) noexcept {
    static constexpr std::string_view hex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    const bool printable = byte >= 0x20 && byte < 0x7f;
    const char escaped[] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    const std::string_view shown = printable ? std::string_view(&c, 1) : std::string_view(escaped, sizeof escaped);
    cut_ = cut_ || size_ + shown.size() > room;
    if (!cut_) size_ += shown.copy(&bytes_[size_], shown.size());
  }

  std::array<char, 1024> bytes_;
  std::size_t size_ = 0;
  bool cut_ = false;
};

[[nodiscard]] std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

}  // namespace

logger::logger(log_level level, std::string path) : path_(std::move(path)), level_(level) {
  if (path_.empty()) return;
  file_ = net::unique_fd(open_file());
  if (!file_) throw std::system_error(last_error(), "open the log file " + path_);
}

int logger::open_file() const noexcept { return open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644); }

void logger::write_line(log_level level, std::span<const log_piece> pieces) noexcept {
  const int error_before = errno;
  log_line out;
  out.put_date(std::chrono::system_clock::now());
  out.put(log_level_names[static_cast<std::size_t>(level)]);
  out.put(": ");
  for (const log_piece& piece : pieces) out.put(piece.text());
  const std::string_view whole = out.finished();
  [[maybe_unused]] const auto ignored = write(file_ ? file_.get() : STDERR_FILENO, whole.data(), whole.size());
  errno = error_before;
}

// The new file takes over the old one's descriptor in one step: no thread that is in the middle of a line finds it
// closed.
std::error_code logger::reopen() noexcept {
  if (!file_) return {};
  const net::unique_fd fresh(open_file());
  if (!fresh || dup3(fresh.get(), file_.get(), O_CLOEXEC) < 0) return last_error();
  return {};
}

log_level logger::louder() noexcept {
  const log_level now = level();
  const log_level next = now == log_level::pverb ? now : static_cast<log_level>(static_cast<int>(now) + 1);
  level_.store(next, std::memory_order_relaxed);
  return next;
}

log_level logger::quieter() noexcept {
  const log_level now = level();
  const log_level next = now == log_level::emerg ? now : static_cast<log_level>(static_cast<int>(now) - 1);
  level_.store(next, std::memory_order_relaxed);
  return next;
}

}  // namespace nutcracker
