// SPDX-License-Identifier: Apache-2.0
// The runtime hooks of Swift's concurrency library, which take a calling convention that only C
// can spell. They are declared, not looked up by name: a look-up fails in static builds.
#ifndef NORIA_EXECUTORS_H
#define NORIA_EXECUTORS_H

#include "noria_platform.h"

#include <stdbool.h>

/// A reference to a serial executor as the runtime passes it: object and witness table.
typedef struct {
    void *identity;
    void *implementation;
} noria_executor_ref;

/// Sets the global and main executor hooks: the second of two ways in, which survives a later
/// `swift_createExecutors` of the compiler's. Call once, before other threads exist.
void noria_install_executor_hooks(noria_executor_ref main_executor,
                                  void (*enqueue_global)(void *job));

/// The task that runs on this thread, or null: to be compared, never followed.
void *noria_current_task(void);

/// The object of the executor that this thread's task prefers, or null: to be compared only.
const void *noria_preferred_executor(void);
/// Whether this thread's task runs for no actor, and prefers this executor, or none while the hooks
/// are installed: then nothing that it awaits takes it elsewhere.
bool noria_task_stays_on(const void *task_executor);

/// The file descriptor that is readable while Dispatch's main queue has work, or -1.
int noria_dispatch_main_queue_descriptor(void);
/// Runs what Dispatch's main queue holds. Main thread only.
void noria_dispatch_main_queue_drain(void);

#endif
