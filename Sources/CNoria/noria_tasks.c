// SPDX-License-Identifier: Apache-2.0
// The one file that rests on what Swift's concurrency library keeps to itself, as it is in 6.3: how
// a task is made, where its first context names what comes after its end, which options it has.
// A self-test at each start tries all of it; where it fails nothing here touches a task.
#include "noria_held_tasks.h"
#include "noria_sites.h"
#include "noria_task_registry.h"
#include "noria_tasks.h"
#include "noria_thread.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SWIFT_CALL __attribute__((swiftcall))
#define SWIFT_ASYNC_CALL __attribute__((swiftasynccall))
#define ASYNC_CONTEXT __attribute__((swift_async_context))
#define ERROR_REGISTER __attribute__((swift_context))

typedef struct {
    void *identity;
    void *implementation;
} executor_ref;

typedef struct option {
    size_t flags;
    struct option *next;
    void *words[2];
} option;

typedef struct {
    void *task;
    void **context;
} new_task;

typedef SWIFT_CALL new_task (*create_function)(size_t flags, option *options, const void *type,
                                               void *entry, void *closure);
typedef SWIFT_ASYNC_CALL void (*completion)(ASYNC_CONTEXT void *, ERROR_REGISTER void *);

extern SWIFT_CALL void *swift_task_getCurrent(void);
extern SWIFT_CALL uint64_t swift_task_getJobTaskId(void *job);
extern SWIFT_CALL bool swift_task_isCancelled(void *task);
extern SWIFT_CALL void swift_task_cancel(void *task);
extern SWIFT_CALL void swift_task_enqueueTaskOnExecutor(void *task, executor_ref executor);
extern SWIFT_CALL const char *swift_task_getCurrentTaskName(void);
extern void *swift_retain(void *object);
extern void swift_release(void *object);
extern size_t swift_retainCount(void *object);

enum { FLAG_CHILD = 1 << 8, FLAG_LOCALS = 1 << 10, FLAG_INHERITS = 1 << 11, FLAG_ENQUEUE = 1 << 12 };
enum { OPTION_EXECUTOR = 0, OPTION_PREFERENCE = 5, OPTION_OWNED_PREFERENCE = 6, OPTION_NAME = 7 };
enum { RECORD_NAME = 6, RECORD_OFFSET = 0x68 };

static _Atomic(int) mode;
static _Atomic(bool) is_listing;
static _Atomic(void (*)(const noria_task_failure *)) report_failure;

static __thread unsigned handler_depth;
static __thread unsigned own_depth;
static __thread const char *tested_name;
static __thread int tested;

void noria_tasks_set_report(void (*report)(const noria_task_failure *)) {
    atomic_store_explicit(&report_failure, report, memory_order_release);
}

void noria_tasks_set_mode(noria_tasks_mode new_mode, bool lists) {
    atomic_store_explicit(&is_listing, lists, memory_order_relaxed);
    atomic_store_explicit(&mode, new_mode, memory_order_release);
}

void noria_tasks_enter_handler(void) { handler_depth += 1; }
void noria_tasks_leave_handler(void) { handler_depth -= 1; }
void noria_tasks_begin_own(void) { own_depth += 1; }
void noria_tasks_end_own(void) { own_depth -= 1; }

void noria_tasks_report(const noria_task_failure *failure) {
    void (*report)(const noria_task_failure *) =
        atomic_load_explicit(&report_failure, memory_order_acquire);
    if (report) report(failure);
}

// MARK: Ends

uint64_t noria_current_task_id(void) {
    void *task = swift_task_getCurrent();
    return task ? swift_task_getJobTaskId(task) : 0;
}

uint64_t noria_job_id(void *job) { return swift_task_getJobTaskId(job); }

static void failed(void *task, void *error, bool is_handlers) {
    if (tested_name) {
        tested |= NORIA_TASKS_SEES_ENDS;
        return;
    }
    noria_task_failure failure = {
        .error = error,
        .id = swift_task_getJobTaskId(task),
        .name = swift_task_getCurrentTaskName(),
        .was_cancelled = swift_task_isCancelled(task),
        .is_handlers = is_handlers || handler_depth > 0,
    };
    // The one reference is the running task's own: nobody is left who could wait for it.
    if (swift_retainCount(task) <= 1) noria_tasks_report(&failure);
    else noria_tasks_hold(task, &failure);
}

static void ended(void *error, bool is_listed, bool is_handlers) {
    void *task = swift_task_getCurrent();
    if (error) failed(task, error, is_handlers);
    // Behind the report, so that who waits for the last task has all reports.
    if (is_listed) noria_task_unlist(task);
}

// What comes after a task's end is one of a few functions of the library. Each stands for itself in
// `originals`, and is replaced by the function of that number below: no memory is needed for a task.
enum { ORIGINAL_LIMIT = 6 };
static _Atomic(completion) originals[ORIGINAL_LIMIT];

#define COMPLETION(number, kind, is_listed, is_handlers)                                           \
    static SWIFT_ASYNC_CALL void end_##kind##_##number(ASYNC_CONTEXT void *context,                \
                                                       ERROR_REGISTER void *error) {               \
        ended(error, is_listed, is_handlers);                                                      \
        completion original = atomic_load_explicit(&originals[number], memory_order_relaxed);      \
        __attribute__((musttail)) return original(context, error);                                 \
    }
#define COMPLETIONS(kind, is_listed, is_handlers)                                                  \
    COMPLETION(0, kind, is_listed, is_handlers)                                                    \
    COMPLETION(1, kind, is_listed, is_handlers)                                                    \
    COMPLETION(2, kind, is_listed, is_handlers)                                                    \
    COMPLETION(3, kind, is_listed, is_handlers)                                                    \
    COMPLETION(4, kind, is_listed, is_handlers)                                                    \
    COMPLETION(5, kind, is_listed, is_handlers)                                                    \
    static const completion ends_##kind[ORIGINAL_LIMIT] = {                                        \
        end_##kind##_0, end_##kind##_1, end_##kind##_2,                                            \
        end_##kind##_3, end_##kind##_4, end_##kind##_5,                                            \
    };
COMPLETIONS(plain, false, false)
COMPLETIONS(listed, true, false)
COMPLETIONS(handlers, false, true)
COMPLETIONS(listed_handlers, true, true)

/// The number of a function of the library, or -1 when there are more of them than we know of.
static int number_of(completion original) {
    for (int number = 0; number < ORIGINAL_LIMIT; number += 1) {
        completion known = atomic_load_explicit(&originals[number], memory_order_relaxed);
        if (!known && atomic_compare_exchange_strong(&originals[number], &known, original))
            return number;
        if (known == original) return number;
    }
    return -1;
}

// MARK: Births

/// Whether a task has no parent that waits for it, and what its options say.
static bool is_unstructured(size_t flags, const option *options, executor_ref *executor,
                            const void **home, const char **name) {
    if (flags & FLAG_CHILD) return false;
    for (const option *each = options; each; each = each->next) {
        switch (each->flags & 0xff) {
        case OPTION_EXECUTOR:
            *executor = (executor_ref){each->words[0], each->words[1]};
            if (each->words[0]) *home = each->words[0];
            break;
        case OPTION_PREFERENCE:
        case OPTION_OWNED_PREFERENCE:
            if (!*home) *home = each->words[0];
            break;
        case OPTION_NAME: *name = each->words[0]; break;
        case 4: break;
        default: return false;
        }
    }
    return true;
}

/// The copy of its name that a new task has made for itself, until it ends.
///
/// SAFETY: nobody else knows the task yet, so its innermost record stands still.
static const char *kept_name(void *task) {
    void **record = *(void ***)((char *)task + RECORD_OFFSET);
    return record && ((size_t)record[0] & 0xff) == RECORD_NAME ? record[2] : NULL;
}

static bool is_looked_after(void) {
    if (tested_name) return true;
    switch (atomic_load_explicit(&mode, memory_order_acquire)) {
    case NORIA_TASKS_NONE: return false;
    case NORIA_TASKS_OF_LOOPS: return noria_current_loop() != NULL;
    default: return true;
    }
}

/// SAFETY: the order is that of the library, with our part put in before the task is enqueued: it
/// could have ended before `create` returns. `create` leaves out the enqueuing and the reference
/// that a running task has to itself when it is told to, and both are made up for here.
static new_task create_task(create_function create, bool sees_library, void *frame, size_t flags,
                            option *options, const void *type, void *entry, void *closure) {
    executor_ref executor = {NULL, NULL};
    const void *home = NULL;
    const char *name = NULL;
    if (!is_looked_after() || !is_unstructured(flags, options, &executor, &home, &name))
        return create(flags, options, type, entry, closure);
    new_task made = create(flags & ~(size_t)FLAG_ENQUEUE, options, type, entry, closure);
    int number = number_of((completion)made.context[1]);
    if (tested_name) {
        tested |= NORIA_TASKS_SEES_BIRTHS;
        const char *kept = name ? kept_name(made.task) : NULL;
        if (kept && kept != name && strcmp(kept, tested_name) == 0) tested |= NORIA_TASKS_SEES_NAMES;
    }
    if (number >= 0) {
        // The library's own wake-up of a sleep is seen in static programs: nobody's task, not listed.
        bool is_wakeup = sees_library && !(flags & (FLAG_ENQUEUE | FLAG_LOCALS | FLAG_INHERITS));
        bool is_listed =
            !is_wakeup && !tested_name && atomic_load_explicit(&is_listing, memory_order_relaxed)
            && noria_task_list(made.task, name ? kept_name(made.task) : NULL,
                               home ? home : noria_current_loop(), noria_site_above(frame),
                               own_depth > 0);
        const completion *ends = handler_depth ? is_listed ? ends_listed_handlers : ends_handlers
                                               : is_listed ? ends_listed : ends_plain;
        made.context[1] = (void *)ends[number];
    }
    if (flags & FLAG_ENQUEUE) {
        swift_retain(made.task);
        swift_task_enqueueTaskOnExecutor(made.task, executor);
    }
    return made;
}

// Weak: a strong one would be a second definition in every program that links Swift statically. There
// the library's own wins, and this is called in its place only with --wrap=swift_task_create.
__attribute__((weak)) SWIFT_CALL new_task swift_task_create(size_t flags, option *options,
                                                            const void *type, void *entry,
                                                            void *closure) {
    static _Atomic(create_function) real;
    create_function create = atomic_load_explicit(&real, memory_order_relaxed);
    if (!create) {
        create = (create_function)dlsym(RTLD_NEXT, "swift_task_create");
        atomic_store_explicit(&real, create, memory_order_relaxed);
    }
    return create_task(create, false, __builtin_frame_address(0), flags, options, type, entry,
                       closure);
}

extern SWIFT_CALL new_task __real_swift_task_create(size_t, option *, const void *, void *, void *)
    __attribute__((weak));

SWIFT_CALL new_task __wrap_swift_task_create(size_t flags, option *options, const void *type,
                                             void *entry, void *closure) {
    return create_task(__real_swift_task_create, true, __builtin_frame_address(0), flags, options,
                       type, entry, closure);
}

// MARK: Awaits

static void see_await(const void *error) {
    if (tested_name) tested |= NORIA_TASKS_SEES_AWAITS;
    if (noria_tasks_has_held()) noria_tasks_note_await(error);
}

__attribute__((weak)) void *swift_errorRetain(void *error) {
    static _Atomic(void *(*)(void *)) real;
    void *(*retain)(void *) = atomic_load_explicit(&real, memory_order_relaxed);
    if (!retain) {
        retain = (void *(*)(void *))dlsym(RTLD_NEXT, "swift_errorRetain");
        atomic_store_explicit(&real, retain, memory_order_relaxed);
    }
    see_await(error);
    return retain(error);
}

extern void *__real_swift_errorRetain(void *error) __attribute__((weak));

void *__wrap_swift_errorRetain(void *error) {
    see_await(error);
    return __real_swift_errorRetain(error);
}

// MARK: The self-test

/// In another file, where the name is not defined and so may be wrapped.
void *noria_error_retain(void *error);

void noria_tasks_begin_self_test(const char *name) {
    tested_name = name;
    tested = 0;
}

int noria_tasks_end_self_test(void) {
    // What the library itself calls is the first definition of all that were loaded.
    void *first = dlsym(RTLD_DEFAULT, "swift_errorRetain");
    tested &= ~NORIA_TASKS_SEES_AWAITS;
    noria_error_retain(NULL);
    if (first && first != (void *)swift_errorRetain) tested &= ~NORIA_TASKS_SEES_AWAITS;
    tested_name = NULL;
    noria_tasks_hold_when(tested & NORIA_TASKS_SEES_AWAITS);
    return tested;
}

// MARK: Cancelling

size_t noria_tasks_cancel_all(void) {
    // All are gathered before the first is cancelled. A task that is made since, by whoever reacts to
    // a cancellation, begins when all is being cancelled, and often is there to outlive it: a library
    // that ends a child process in order does that in a task of its own.
    size_t capacity = noria_task_count_foreign();
    void **tasks = capacity ? malloc(capacity * sizeof(void *)) : NULL;
    if (!tasks) return 0;
    size_t count = 0;
    for (unsigned shard = 0; shard < NORIA_TASK_SHARDS; shard += 1) {
        size_t room = capacity - count;
        size_t found = noria_task_retain_foreign(shard, tasks + count, room);
        count += found < room ? found : room;
    }
    void *current = swift_task_getCurrent();
    size_t cancelled = 0;
    for (size_t index = 0; index < count; index += 1) {
        if (tasks[index] != current) {
            swift_task_cancel(tasks[index]);
            cancelled += 1;
        }
        swift_release(tasks[index]);
    }
    free(tasks);
    return cancelled;
}
