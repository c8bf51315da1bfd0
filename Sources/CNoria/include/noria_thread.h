// SPDX-License-Identifier: Apache-2.0
// Which thread, and which loop, is running: a register and a thread-local word.
#ifndef NORIA_THREAD_H
#define NORIA_THREAD_H

#include "noria_platform.h"

/// The loop that this thread turns, or null. Written by the loop's own thread alone.
///
/// The initial-exec model makes a read one instruction instead of a call to the dynamic linker;
/// a word fits into the space that glibc keeps for libraries that are loaded late.
extern __thread void *noria_loop_of_this_thread __attribute__((tls_model("initial-exec")));

static inline void *noria_current_loop(void) { return noria_loop_of_this_thread; }
static inline void noria_set_current_loop(void *loop) { noria_loop_of_this_thread = loop; }

#endif
