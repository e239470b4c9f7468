// Signals as input.
#include "nc_signal.h"

#include <signal.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <system_error>

#include "common/settings/process.h"
#include "nc_core.h"

void signal_init(context& ctx) {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : {SIGINT, SIGQUIT, SIGTERM}) sigaddset(&wanted, number);
  if (!is_ignored(SIGHUP)) sigaddset(&wanted, SIGHUP);  // it is under -d, and under nohup
  conn& c = conn_get(ctx.own, ctx.signals, conn_role::signals);
  c.sd.reset(signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!c.sd || !event_add_conn(ctx.evb, c)) {
    throw std::system_error(errno, std::generic_category(), "cannot listen to signals");
  }
  event_del_out(ctx.evb, c);
}

rstatus_t signal_recv(context& ctx, conn& c) {
  signalfd_siginfo signal;
  while (read(c.sd.get(), &signal, sizeof signal) == sizeof signal) ctx.stop = true;
  return NC_OK;
}

void signal_close(context& ctx, conn& c) noexcept { conn_put(ctx, c); }
