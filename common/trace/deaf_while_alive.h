// For threads that are not the server's: they hear none of its signals.
#pragma once

#include <signal.h>

// What a thread inherits from its maker: while this lives, that it hears no signals.
class deaf_while_alive {
 public:
  deaf_while_alive() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~deaf_while_alive() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  deaf_while_alive(const deaf_while_alive&) = delete;
  deaf_while_alive& operator=(const deaf_while_alive&) = delete;

 private:
  sigset_t before_;
};
