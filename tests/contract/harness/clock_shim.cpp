// Preloaded into a server: its wall clock differs from the system's by as many seconds as a file says, which a test may
// change at any time. The monotonic clock is left alone, as it is when somebody sets a real clock.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

long offset() noexcept {
  const char* const path = std::getenv("CLOCK_OFFSET_FILE");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file == -1) return 0;
  char text[24] = {};
  const ssize_t n = read(file, text, sizeof text - 1);
  close(file);
  return n > 0 ? std::atol(text) : 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t which, timespec* when) noexcept {
  const long result = syscall(SYS_clock_gettime, which, when);
  if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) when->tv_sec += offset();
  return static_cast<int>(result);
}

int gettimeofday(timeval* when, void*) noexcept {
  timespec now{};
  const int result = clock_gettime(CLOCK_REALTIME, &now);
  *when = {now.tv_sec, now.tv_nsec / 1000};
  return result;
}

std::time_t time(std::time_t* when) noexcept {
  timespec now{};
  static_cast<void>(clock_gettime(CLOCK_REALTIME, &now));
  if (when != nullptr) *when = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
