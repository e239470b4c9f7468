// An event base of our own, over epoll.
#include "nc_event.h"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <system_error>

#include "common/basics/stoppable_clock.h"
#include "nc_connection.h"

msec msec_now() noexcept {
  using namespace std::chrono;
  return duration_cast<milliseconds>(stoppable_clock::now().time_since_epoch()).count();
}

event_base event_base_create(int nevent, event_cb_t cb) {
  net::unique_fd ep(epoll_create1(EPOLL_CLOEXEC));
  if (!ep) throw std::system_error(errno, std::generic_category(), "epoll_create");
  return {std::move(ep), std::vector<epoll_event>(static_cast<std::size_t>(nevent)), cb};
}

namespace {

bool event_control(event_base& evb, conn& c, int operation, bool in, bool out) noexcept {
  epoll_event event{};
  event.events = EPOLLET | (in ? EPOLLIN | EPOLLRDHUP : 0u) | (out ? EPOLLOUT : 0u);
  event.data.ptr = &c;
  if (epoll_ctl(evb.ep.get(), operation, c.sd.get(), &event) == -1) return false;
  c.recv_active = in;
  c.send_active = out;
  return true;
}

// A change of what is watched already takes no memory: it cannot fail.
void event_change(event_base& evb, conn& c, bool in, bool out) noexcept {
  if (in == c.recv_active && out == c.send_active) return;
  (void)event_control(evb, c, EPOLL_CTL_MOD, in, out);
}

}  // namespace

bool event_add_conn(event_base& evb, conn& c) noexcept { return event_control(evb, c, EPOLL_CTL_ADD, true, true); }

void event_del_conn(event_base& evb, conn& c) noexcept { (void)event_control(evb, c, EPOLL_CTL_DEL, false, false); }

void event_add_in(event_base& evb, conn& c) noexcept { event_change(evb, c, true, c.send_active); }

void event_del_in(event_base& evb, conn& c) noexcept { event_change(evb, c, false, c.send_active); }

void event_add_out(event_base& evb, conn& c) noexcept { event_change(evb, c, c.recv_active, true); }

void event_del_out(event_base& evb, conn& c) noexcept { event_change(evb, c, c.recv_active, false); }

void event_again(event_base& evb, conn& c) noexcept {
  (void)event_control(evb, c, EPOLL_CTL_MOD, c.recv_active, c.send_active);
}

int event_wait(event_base& evb, int timeout, msec& now) noexcept {
  int nsd = -1;
  do {
    nsd = epoll_wait(evb.ep.get(), evb.event.data(), static_cast<int>(evb.event.size()), timeout);
  } while (nsd == -1 && errno == EINTR);  // somebody has stopped us, and lets us go on
  now = msec_now();
  for (int i = 0; i < nsd; ++i) {
    const epoll_event& ev = evb.event[static_cast<std::size_t>(i)];
    std::uint32_t events = 0;
    if ((ev.events & EPOLLERR) != 0) events |= EVENT_ERR;
    // A peer that hung up has said all that it will: read it, and then the end.
    if ((ev.events & (EPOLLIN | EPOLLHUP)) != 0) events |= EVENT_READ;
    if ((ev.events & (EPOLLRDHUP | EPOLLHUP)) != 0) events |= EVENT_END;
    if ((ev.events & EPOLLOUT) != 0) events |= EVENT_WRITE;
    evb.cb(*static_cast<conn*>(ev.data.ptr), events);
  }
  return nsd;
}
