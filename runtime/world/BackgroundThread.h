// Threads that leave the process's signals to the threads of its owner.
#pragma once

#include <csignal>
#include <thread>
#include <utility>

namespace titan::control {

/// A thread that no signal is delivered to: handlers are the main program's affair.
template <typename Body> std::thread startBackgroundThread(Body body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

} // namespace titan::control
