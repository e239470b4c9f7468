// Return by return.
#include "common/trace/stepper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "common/basics/stoppable_clock.h"

namespace {

[[nodiscard]] net::unique_fd checked(int fd, const char* doing) {
  if (fd == -1) throw std::system_error(errno, std::generic_category(), doing);
  return net::unique_fd(fd);
}

void say(int terminal, std::string_view text) noexcept { (void)!write(terminal, text.data(), text.size()); }

}  // namespace

stepper::stepper()
    : terminal_(checked(open("/dev/tty", O_RDWR | O_CLOEXEC), "open /dev/tty")),
      wake_(checked(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")),
      signals_(wake_.get()) {
  say(terminal_.get(), "Return: the next step; c: go on without stopping\n");
}

void stepper::hear(const trace_event& e) noexcept {
  if (is_over_) return;
  const std::scoped_lock one_after_the_other(turn_);
  if (is_over_) return;
  signals_.stand_in_front();
  somebody_waits_ = true;
  stoppable_clock::stop();
  wait_for_return(e);
  stoppable_clock::go_on();
  somebody_waits_ = false;
}

void stepper::wait_for_return(const trace_event& e) noexcept {
  const std::string_view thread = tracer::name_of_this_thread();
  const std::string who = thread.empty() ? "" : "[" + std::string(thread) + "] ";
  say(terminal_.get(), who + line_of(e) + " ");
  for (;;) {
    std::array<pollfd, 3> fds{
        {{terminal_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}, {signals_.waiting(), POLLIN, 0}}};
    poll(fds.data(), fds.size(), -1);
    if (is_over_ || signals_.has_come() || fds[2].revents != 0) break;
    if (fds[0].revents == 0) continue;
    std::array<char, 256> typed;
    const ssize_t n = read(terminal_.get(), typed.data(), typed.size());
    if (n == -1 && errno == EINTR) continue;
    if (n <= 0 || typed[0] == 'c') break;
    if (typed[static_cast<std::size_t>(n) - 1] == '\n') return;
  }
  let_go();
}

void stepper::let_go() noexcept {
  is_over_ = true;
  eventfd_write(wake_.get(), 1);
}
