// SPDX-License-Identifier: Apache-2.0
//
// One capture at a time, through one static slot. Its word holds a ticket and a phase:
//
//   asked(n) → filling(n) → filled(n)     the handler of ticket n
//   asked(n) → given up(n)                the asker, when its time is up
//
// Both leave `asked` by compare-and-exchange, so one of them wins. A handler whose ticket is an old
// one, or that comes after the asker has given up, touches nothing.
#define _GNU_SOURCE
#include "noria_stacks.h"
#include "noria_system.h"

#include <execinfo.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

extern __attribute__((swiftcall)) void *swift_task_getCurrent(void);

enum { asked = 1, filling = 2, filled = 3, given_up = 0, phases = 4 };

static _Atomic uint32_t word;
static _Atomic int pending;
static struct noria_stack slot;

#if defined(__aarch64__)
// The kernel's order of them (asm/sigcontext.h), which every C library's header repeats.
struct registers {
    uint64_t fault_address, general[31], stack, place;
};
#endif

static uintptr_t interrupted_at(const ucontext_t *context) {
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)((const struct registers *)&context->uc_mcontext)->place;
#else
    return 0;
#endif
}

static void fill(const ucontext_t *context) {
    void *addresses[NORIA_STACK_LIMIT];
    int count = backtrace(addresses, NORIA_STACK_LIMIT);
    // The handler's own frames come first, down to the place where it broke in.
    uintptr_t place = interrupted_at(context);
    int first = 0;
    while (first < count && (uintptr_t)addresses[first] != place) first++;
    if (first == count) first = 0;
    slot.count = count - first;
    for (int index = 0; index < slot.count; index++)
        slot.addresses[index] = (uintptr_t)addresses[first + index];
}

static void handle(int number, siginfo_t *info, void *context) {
    (void)number;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid()) return;
    int before = errno;
    uint64_t began = noria_now();
    atomic_fetch_sub(&pending, 1);
    uint32_t ticket = (uint32_t)(uintptr_t)info->si_value.sival_ptr;
    uint32_t expected = ticket + asked;
    if (atomic_compare_exchange_strong(&word, &expected, ticket + filling)) {
        fill(context);
        // A read of this thread's own word, which it has long had.
        slot.task = swift_task_getCurrent();
        slot.nanoseconds = noria_now() - began;
        atomic_store(&word, ticket + filled);
        noria_futex_wake((uint32_t *)&word);
    }
    errno = before;
}

void noria_stacks_prepare(void) {
    void *one[1];
    backtrace(one, 1);
}

int noria_stacks_free_signal(void) {
    // Not the first ones: the C library and others take those.
    for (int signal = SIGRTMIN + 5; signal <= SIGRTMAX; signal++) {
        struct sigaction action;
        if (sigaction(signal, 0, &action) == 0 && action.sa_handler == SIG_DFL) return signal;
    }
    return -EBUSY;
}

int noria_stacks_catch(int signal, struct sigaction *previous) {
    struct sigaction action = {0};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    return sigaction(signal, &action, previous);
}

int noria_stacks_capture(int thread, int signal, int64_t nanoseconds, struct noria_stack *stack) {
    uint32_t ticket = (atomic_load(&word) / phases + 1) * phases;
    atomic_store(&word, ticket + asked);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = signal;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)ticket;
    atomic_fetch_add(&pending, 1);
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, signal, &info) < 0) {
        int error = errno;
        atomic_fetch_sub(&pending, 1);
        return -error;
    }
    uint64_t end = noria_now() + (uint64_t)nanoseconds;
    uint32_t seen;
    while ((seen = atomic_load(&word)) != ticket + filled) {
        uint64_t now = noria_now();
        uint32_t expected = ticket + asked;
        // Once it fills, it is a matter of microseconds.
        if (now >= end && atomic_compare_exchange_strong(&word, &expected, ticket + given_up))
            return -ETIMEDOUT;
        noria_futex_wait((uint32_t *)&word, seen, now < end ? (int64_t)(end - now) : 1000000);
    }
    *stack = slot;
    return 0;
}

bool noria_stacks_is_pending(void) { return atomic_load(&pending) > 0; }
