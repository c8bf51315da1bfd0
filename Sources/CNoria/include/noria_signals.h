// SPDX-License-Identifier: Apache-2.0
// A handler that does the two things that are safe in one: it marks a bit and writes an eventfd.
#ifndef NORIA_SIGNALS_H
#define NORIA_SIGNALS_H

#include "noria_platform.h"

#include <signal.h>
#include <stdint.h>

/// Where the handler writes to, or -1. Any thread; signal-safe.
void noria_signals_set_wakeup(int fd);

/// Catches `number` from now on and stores what stood there before in `previous`.
int noria_signals_catch(int number, struct sigaction *previous);

/// The signals that came since the last call, as bits; they are taken by asking. Any thread.
uint64_t noria_signals_take(void);

/// Ends the process by `number` with its default action, as a shell expects of `128 + n`.
void noria_signals_end_process(int number);

#endif
