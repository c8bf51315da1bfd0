// SPDX-License-Identifier: Apache-2.0
#include "noria_executors.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define SWIFT_CALL __attribute__((swiftcall))

extern SWIFT_CALL void (*swift_task_enqueueGlobal_hook)(void *job, SWIFT_CALL void (*)(void *));
extern SWIFT_CALL void (*swift_task_enqueueMainExecutor_hook)(void *job,
                                                              SWIFT_CALL void (*)(void *));
extern SWIFT_CALL noria_executor_ref (*swift_task_getMainExecutor_hook)(
    SWIFT_CALL noria_executor_ref (*)(void));
extern SWIFT_CALL bool (*swift_task_isMainExecutor_hook)(
    noria_executor_ref, SWIFT_CALL bool (*)(noria_executor_ref));
extern SWIFT_CALL void swift_task_enqueue(void *job, noria_executor_ref executor);

extern SWIFT_CALL void *swift_task_getCurrent(void);
extern void *swift_errorRetain(void *error);

// For the self-test of noria_tasks.c, which defines the name itself.
void *noria_error_retain(void *error);
void *noria_error_retain(void *error) { return swift_errorRetain(error); }

void *noria_current_task(void) { return swift_task_getCurrent(); }

extern SWIFT_CALL noria_executor_ref swift_task_getPreferredTaskExecutor(bool assume_has_record);

const void *noria_preferred_executor(void) {
    return swift_task_getPreferredTaskExecutor(false).identity;
}

extern SWIFT_CALL noria_executor_ref swift_task_getCurrentExecutor(void);

// Whether a task without a preference comes back to the loop on whose thread it waits.
static atomic_bool is_installed;

bool noria_task_stays_on(const void *task_executor) {
    if (swift_task_getCurrentExecutor().identity) return false;
    const void *preferred = noria_preferred_executor();
    if (preferred) return preferred == task_executor;
    return atomic_load_explicit(&is_installed, memory_order_relaxed);
}

static noria_executor_ref main_ref;
static void (*enqueue_global)(void *job);

static SWIFT_CALL void hook_enqueue_global(void *job, SWIFT_CALL void (*original)(void *)) {
    enqueue_global(job);
}

static SWIFT_CALL void hook_enqueue_main(void *job, SWIFT_CALL void (*original)(void *)) {
    swift_task_enqueue(job, main_ref);
}

static SWIFT_CALL noria_executor_ref
hook_get_main(SWIFT_CALL noria_executor_ref (*original)(void)) {
    return main_ref;
}

static SWIFT_CALL bool hook_is_main(noria_executor_ref executor,
                                    SWIFT_CALL bool (*original)(noria_executor_ref)) {
    return executor.identity == main_ref.identity;
}

void noria_install_executor_hooks(noria_executor_ref main_executor,
                                  void (*enqueue_job)(void *job)) {
    main_ref = main_executor;
    enqueue_global = enqueue_job;
    swift_task_enqueueGlobal_hook = hook_enqueue_global;
    swift_task_enqueueMainExecutor_hook = hook_enqueue_main;
    swift_task_getMainExecutor_hook = hook_get_main;
    swift_task_isMainExecutor_hook = hook_is_main;
    atomic_store_explicit(&is_installed, true, memory_order_relaxed);
}

// Weak: a program that links Dispatch in no form has no main queue to serve.
extern int _dispatch_get_main_queue_handle_4CF(void) __attribute__((weak));
extern void _dispatch_main_queue_callback_4CF(void *message) __attribute__((weak));

int noria_dispatch_main_queue_descriptor(void) {
    return _dispatch_get_main_queue_handle_4CF ? _dispatch_get_main_queue_handle_4CF() : -1;
}

void noria_dispatch_main_queue_drain(void) {
    uint64_t count;
    ssize_t ignored = read(noria_dispatch_main_queue_descriptor(), &count, sizeof count);
    (void)ignored;
    if (_dispatch_main_queue_callback_4CF) _dispatch_main_queue_callback_4CF(NULL);
}
