// SPDX-License-Identifier: Apache-2.0
// The stack of another thread of this process, taken by a signal while that thread runs or blocks.
#ifndef NORIA_STACKS_H
#define NORIA_STACKS_H

#include "noria_platform.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define NORIA_STACK_LIMIT 64

struct noria_stack {
    /// Where the thread was, and behind it the return addresses.
    uintptr_t addresses[NORIA_STACK_LIMIT];
    int count;
    /// The task that it ran, or null; to be compared only.
    const void *task;
    /// What the capture has cost the thread.
    uint64_t nanoseconds;
};

/// Loads what unwinding needs, so that no handler does. Blocks for some milliseconds the first time.
void noria_stacks_prepare(void);

/// A real-time signal for captures that nobody uses in this process, or a negative error.
int noria_stacks_free_signal(void);

/// Takes `signal` for captures: 0, or -1 with errno.
int noria_stacks_catch(int signal, struct sigaction *previous);

/// Captures the stack of `thread` (as in /proc) and waits for it: 0, or a negative error; ETIMEDOUT
/// when the thread did not take the signal in that time. One caller at a time.
///
/// A system call in which the thread waits ends with EINTR, whatever SA_RESTART says of the others.
int noria_stacks_capture(int thread, int signal, int64_t nanoseconds, struct noria_stack *stack);

/// Whether a signal was sent whose handler has not run: its disposition must stay.
bool noria_stacks_is_pending(void);

#endif
