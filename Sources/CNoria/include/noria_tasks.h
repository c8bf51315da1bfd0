// SPDX-License-Identifier: Apache-2.0
// Every unstructured task, seen as it is made and as it ends: the concurrency library's
// `swift_task_create` is interposed. Decision 15 says what that rests on.
#ifndef NORIA_TASKS_H
#define NORIA_TASKS_H

#include "noria_platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Which tasks are looked after: those made while it is so.
typedef enum {
    NORIA_TASKS_NONE,
    /// Those that are made on the threads of our loops.
    NORIA_TASKS_OF_LOOPS,
    NORIA_TASKS_ALL,
} noria_tasks_mode;

/// A task that has ended in an error that nobody can await.
typedef struct {
    /// The error's box, borrowed.
    void *error;
    uint64_t id;
    /// Null for a task without a name; borrowed.
    const char *name;
    /// It was cancelled before it ended.
    bool was_cancelled;
    /// It, or the call that made it, belongs to a handler of such errors.
    bool is_handlers;
} noria_task_failure;

/// Sets what is looked after, and whether it is listed too. Any thread.
void noria_tasks_set_mode(noria_tasks_mode mode, bool lists);
/// Who is told of failures, on the thread on which they are met. Before the mode is set.
void noria_tasks_set_report(void (*report)(const noria_task_failure *failure));

/// What a self-test has seen of the hook: all bits, or it does not cover plain tasks.
enum {
    NORIA_TASKS_SEES_BIRTHS = 1,
    NORIA_TASKS_SEES_ENDS = 2,
    NORIA_TASKS_SEES_NAMES = 4,
    NORIA_TASKS_SEES_AWAITS = 8,
};
/// Has this thread's next task, an immediate one with the name `name` that throws, looked at.
void noria_tasks_begin_self_test(const char *name);
/// What was seen of it.
int noria_tasks_end_self_test(void);

/// The number of this thread's task, or 0.
uint64_t noria_current_task_id(void);
/// The number of a job that has not ended: a task's own, or one that stands for it.
uint64_t noria_job_id(void *job);

/// Counts the calls of a handler that this thread is in: what it makes fail is not handed to it.
void noria_tasks_enter_handler(void);
void noria_tasks_leave_handler(void);

/// The tasks that this thread makes in between belong to the runtime: listed, never cancelled.
void noria_tasks_begin_own(void);
void noria_tasks_end_own(void);

/// The failed tasks whose handles somebody still held at their ends.
extern _Atomic(uint32_t) noria_held_task_count;
static inline bool noria_tasks_has_held(void) {
    return __c11_atomic_load(&noria_held_task_count, __ATOMIC_RELAXED) != 0;
}
/// Who is told of one that ended on another thread than a loop's. Before the mode is set.
void noria_tasks_set_rouse(void (*rouse)(void));
/// Reports those that nobody holds any more, and lets go of those that were awaited. Any thread.
void noria_tasks_look_again(void);
/// The same, and lets go of all: who still holds one has it for good.
void noria_tasks_forget_held(void);

/// Cancels every listed task but this one and the runtime's own: how many. Any thread.
size_t noria_tasks_cancel_all(void);

#endif
