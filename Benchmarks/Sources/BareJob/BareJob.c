// SPDX-License-Identifier: Apache-2.0
//
// The smallest job that Swift's runtime knows: no task, no memory, one function. Swift can't make
// one, but the runtime itself does, for example for a default actor.
#include "BareJob.h"

#include <stdint.h>
#include <stdlib.h>

/// The head is `SwiftJob` of the toolchain's `swift/ExecutorImpl.h`; the rest, of which only the
/// function counts, is `Job` of the runtime's `swift/ABI/Task.h`.
struct bare_job {
    _Alignas(2 * sizeof(void *)) void *metadata;
    uintptr_t reference_counts;
    void *scheduler_private[2];
    uint32_t flags, id;
    void *voucher, *reserved;
    void (*run)(struct bare_job *) __attribute__((swiftasynccall));

    long left;
    void (*done)(void *);
    void *context;
};

/// `JobKind::NullaryContinuation` and the default priority.
enum { flags = 195 | 0x15 << 8 };

__attribute__((swiftcall)) void swift_task_enqueueGlobal(struct bare_job *job);

__attribute__((swiftasynccall)) static void run(struct bare_job *job) {
    if (--job->left > 0) return swift_task_enqueueGlobal(job);
    job->done(job->context);
    free(job);
}

void bare_job_start(long count, void (*done)(void *), void *context) {
    struct bare_job *job = calloc(1, sizeof *job);
    if (job == NULL) abort();
    *job = (struct bare_job){
        .flags = flags, .run = run, .left = count, .done = done, .context = context};
    swift_task_enqueueGlobal(job);
}
