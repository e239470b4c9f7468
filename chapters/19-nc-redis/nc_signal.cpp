// Signals as input.
#include "nc_signal.h"

#include <signal.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <system_error>

#include "nc_core.h"

using nutcracker::log_level;

namespace {

void say_level(context& ctx, log_level level) noexcept {
  ctx.log.line(level, nutcracker::log_level_names[static_cast<std::size_t>(level)]);
}

}  // namespace

void signal_init(context& ctx) {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTTIN, SIGTTOU}) sigaddset(&wanted, number);
  conn& c = conn_get(ctx.own, ctx.signals, conn_role::signals);
  c.sd.reset(signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!c.sd || !event_add_conn(ctx.evb, c)) {
    throw std::system_error(errno, std::generic_category(), "cannot listen to signals");
  }
  event_del_out(ctx.evb, c);
}

rstatus_t signal_recv(context& ctx, conn& c) {
  signalfd_siginfo signal;
  while (read(c.sd.get(), &signal, sizeof signal) == sizeof signal) {
    switch (signal.ssi_signo) {
      case SIGHUP:
        if (const std::error_code why = ctx.log.reopen()) {
          ctx.log.line(log_level::error, "the log stays in the old file: ", why.message());
        } else if (!ctx.opts.output.empty()) {
          ctx.log.line(log_level::notice, "the log goes on in a new file");
        }
        break;
      case SIGTTIN: say_level(ctx, ctx.log.louder()); break;
      case SIGTTOU: say_level(ctx, ctx.log.quieter()); break;
      default: ctx.stop = true;
    }
  }
  return NC_OK;
}

void signal_close(context& ctx, conn& c) noexcept { conn_put(ctx, c); }
