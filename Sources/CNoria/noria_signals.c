// SPDX-License-Identifier: Apache-2.0
#include "noria_signals.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static atomic_int wakeup = -1;
static atomic_int handlers;
static atomic_ullong caught;

static void handle(int number) {
    atomic_fetch_add(&handlers, 1);
    // The bit first: whoever is woken by the write finds it set.
    atomic_fetch_or(&caught, 1ull << number);
    int fd = atomic_load(&wakeup);
    if (fd >= 0) {
        int before = errno;
        uint64_t one = 1;
        ssize_t ignored = write(fd, &one, sizeof one);  // EAGAIN: it is full, so readable already.
        (void)ignored;
        errno = before;
    }
    atomic_fetch_sub(&handlers, 1);
}

void noria_signals_set_wakeup(int fd) {
    atomic_store(&wakeup, fd);
    // A handler that is on its way may have the number from before, which its owner closes next and
    // others get. Either it counted itself before the look below, and is waited for, or it reads what
    // was just stored.
    while (atomic_load(&handlers) > 0) sched_yield();
}

int noria_signals_catch(int number, struct sigaction *previous) {
    struct sigaction action = {0};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, previous);
}

uint64_t noria_signals_take(void) { return atomic_exchange(&caught, 0); }

void noria_signals_end_process(int number) {
    struct sigaction action = {0};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, NULL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    kill(getpid(), number);
    _exit(128 + number);
}
