// SPDX-License-Identifier: Apache-2.0
#include "noria_held_tasks.h"
#include "noria_system.h"
#include "noria_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern void *swift_retain(void *object);
extern void swift_release(void *object);
extern size_t swift_retainCount(void *object);

// A handle that is alive at a task's end may be awaited, or may be dropped in the next instruction of
// whoever made the task: 5 to 50 of 200,000. What is awaited copies the error, which is how it is
// told apart: the library calls `swift_errorRetain` for each who waits, before the end or after it.

typedef struct {
    void *task;
    void *error;
    char *name;
    uint64_t id;
    bool was_cancelled;
    bool is_handlers;
    bool was_awaited;
    uint64_t since;
} held_task;

// Held for longer than that, it is held for good: whoever does so will ask for it.
enum { HELD_LIMIT = 1024, HELD_NANOSECONDS = 1000000000 };

_Atomic(uint32_t) noria_held_task_count;
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static held_task held[HELD_LIMIT];
static _Atomic(bool) sees_awaits;
static _Atomic(void (*)(void)) rouse;

void noria_tasks_hold_when(bool is_told) {
    atomic_store_explicit(&sees_awaits, is_told, memory_order_relaxed);
}

void noria_tasks_set_rouse(void (*function)(void)) {
    atomic_store_explicit(&rouse, function, memory_order_release);
}

/// SAFETY: the retained task keeps its error, which it has once it has ended.
void noria_tasks_hold(void *task, const noria_task_failure *failure) {
    // Without it an awaited error would be reported, which is worse than one that is not.
    if (!atomic_load_explicit(&sees_awaits, memory_order_relaxed)) return;
    pthread_mutex_lock(&held_lock);
    uint32_t count = atomic_load_explicit(&noria_held_task_count, memory_order_relaxed);
    // Full within one turn: most of them nobody holds any more. Another thread may fill it again.
    for (int attempt = 0; count == HELD_LIMIT && attempt < 100; attempt += 1) {
        pthread_mutex_unlock(&held_lock);
        noria_tasks_look_again();
        pthread_mutex_lock(&held_lock);
        count = atomic_load_explicit(&noria_held_task_count, memory_order_relaxed);
    }
    if (count < HELD_LIMIT) {
        held[count] = (held_task){
            .task = swift_retain(task),
            .error = failure->error,
            .name = failure->name ? strdup(failure->name) : NULL,
            .id = failure->id,
            .was_cancelled = failure->was_cancelled,
            .is_handlers = failure->is_handlers,
            .since = noria_now(),
        };
        atomic_store_explicit(&noria_held_task_count, count + 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&held_lock);
    // A loop looks at its turn's end by itself.
    void (*function)(void) = atomic_load_explicit(&rouse, memory_order_acquire);
    if (function && !noria_current_loop()) function();
}

void noria_tasks_note_await(const void *error) {
    pthread_mutex_lock(&held_lock);
    uint32_t count = atomic_load_explicit(&noria_held_task_count, memory_order_relaxed);
    for (uint32_t index = 0; index < count; index += 1)
        if (held[index].error == error) held[index].was_awaited = true;
    pthread_mutex_unlock(&held_lock);
}

/// Takes one out that was awaited, that nobody but this list holds, or whose time is over.
static bool take_held(uint32_t *index, uint64_t now, held_task *taken, bool *is_lost) {
    bool found = false;
    pthread_mutex_lock(&held_lock);
    uint32_t count = atomic_load_explicit(&noria_held_task_count, memory_order_relaxed);
    while (*index < count && !found) {
        held_task *at = &held[*index];
        *is_lost = !at->was_awaited && swift_retainCount(at->task) <= 1;
        if (*is_lost || at->was_awaited || at->since + HELD_NANOSECONDS < now) {
            *taken = *at;
            *at = held[count - 1];
            atomic_store_explicit(&noria_held_task_count, count - 1, memory_order_relaxed);
            found = true;
        } else {
            *index += 1;
        }
    }
    pthread_mutex_unlock(&held_lock);
    return found;
}

static void let_go(uint64_t now) {
    uint32_t index = 0;
    held_task taken;
    bool is_lost;
    while (take_held(&index, now, &taken, &is_lost)) {
        if (is_lost) {
            noria_task_failure failure = {taken.error, taken.id, taken.name, taken.was_cancelled,
                                          taken.is_handlers};
            noria_tasks_report(&failure);
        }
        free(taken.name);
        swift_release(taken.task);
    }
}

void noria_tasks_look_again(void) { let_go(noria_now()); }
void noria_tasks_forget_held(void) {
    // One that ends on a thread that is none of ours may be in its last instructions.
    for (int look = 0; look < 20 && noria_tasks_has_held(); look += 1) {
        noria_tasks_look_again();
        if (noria_tasks_has_held()) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    let_go(UINT64_MAX);
}
