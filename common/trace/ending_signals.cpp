// Hears of the signals that end a server.
#include "common/trace/ending_signals.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <system_error>

namespace {

constexpr std::array numbers{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

// A handler is called with a number and nothing else: what it needs cannot be passed to it.
using handler = void (*)(int);
std::array<std::atomic<handler>, numbers.size()> behind;  // the server's own
std::atomic<int> wake_fd = -1;
std::atomic<bool> came = false;

void hear(int number) {
  const int before = errno;
  came = true;
  eventfd_write(wake_fd, 1);
  errno = before;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] == number) behind[i].load()(number);
  }
}

}  // namespace

// SIGHUP is not among those that may wait: a proxy reads it and goes on.
ending_signals::ending_signals(int wake) {
  wake_fd = wake;
  came = false;
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGQUIT, SIGTERM}) sigaddset(&set, number);
  waiting_.reset(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!waiting_) throw std::system_error(errno, std::generic_category(), "signalfd");
}

ending_signals::~ending_signals() {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    struct sigaction now;
    if (sigaction(numbers[i], nullptr, &now) == 0 && now.sa_handler == hear) {
      now.sa_handler = behind[i];
      sigaction(numbers[i], &now, nullptr);
    }
  }
  wake_fd = -1;
}

void ending_signals::stand_in_front() noexcept {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    struct sigaction now;
    if (sigaction(numbers[i], nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0) continue;
    if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN || now.sa_handler == hear) continue;
    behind[i] = now.sa_handler;
    now.sa_handler = hear;
    sigaction(numbers[i], &now, nullptr);
  }
}

bool ending_signals::has_come() const noexcept { return came; }
