// SPDX-License-Identifier: Apache-2.0
#include "noria_task_registry.h"
#include "noria_sites.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SWIFT_CALL __attribute__((swiftcall))

extern SWIFT_CALL uint64_t swift_task_getJobTaskId(void *job);
extern SWIFT_CALL bool swift_task_isCancelled(void *task);
extern void *swift_retain(void *object);

typedef struct {
    // Null in a free slot. SAFETY: an entry goes before its task ends, under the shard's lock, so a
    // task and its name may be followed while the lock is held.
    void *task;
    const char *name;
    // The home's address, and above it the site: no address has more than 48 bits here.
    uint64_t home_and_site;
    // The highest bit marks the runtime's own.
    uint64_t made;
} entry;

static const uint64_t own_bit = (uint64_t)1 << 63;

typedef struct {
    _Alignas(64) pthread_mutex_t lock;
    entry *entries;
    size_t capacity;
    size_t count;
} shard;

static shard shards[NORIA_TASK_SHARDS] = {
    [0 ... NORIA_TASK_SHARDS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};
static _Atomic(size_t) own_count;

static const size_t least_capacity = 16;
enum { SITE_SHIFT = 48 };
static const uint64_t home_mask = ((uint64_t)1 << SITE_SHIFT) - 1;

static __thread noria_task_record last_unlisted;

static uint64_t hash_of(const void *task) {
    return ((uint64_t)(uintptr_t)task >> 4) * 0x9e3779b97f4a7c15u;
}

static shard *shard_of(uint64_t hash) { return &shards[hash >> 59]; }

static size_t home_slot(uint64_t hash, size_t capacity) {
    return (size_t)((hash << 5 >> 32) * capacity >> 32);
}

static void put(entry *entries, size_t capacity, entry new_entry) {
    size_t slot = home_slot(hash_of(new_entry.task), capacity);
    while (entries[slot].task) slot = slot + 1 == capacity ? 0 : slot + 1;
    entries[slot] = new_entry;
}

static bool resize(shard *of, size_t capacity) {
    entry *entries = calloc(capacity, sizeof(entry));
    if (!entries) return false;
    for (size_t slot = 0; slot < of->capacity; slot += 1)
        if (of->entries[slot].task) put(entries, capacity, of->entries[slot]);
    free(of->entries);
    of->entries = entries;
    of->capacity = capacity;
    return true;
}

bool noria_task_list(void *task, const char *name, const void *home, uint32_t site, bool is_own) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t made = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint64_t place = ((uint64_t)(uintptr_t)home & home_mask) | (uint64_t)site << SITE_SHIFT;
    entry new_entry = {task, name, place, is_own ? made | own_bit : made};
    shard *of = shard_of(hash_of(task));
    pthread_mutex_lock(&of->lock);
    // Filled to seven eighths and grown by half: an entry never costs more than 55 bytes then.
    bool has_room = of->count + 1 <= of->capacity - of->capacity / 8;
    if (!has_room) {
        size_t grown = of->capacity + of->capacity / 2;
        has_room = resize(of, grown < least_capacity ? least_capacity : grown);
    }
    if (has_room) {
        put(of->entries, of->capacity, new_entry);
        of->count += 1;
    }
    pthread_mutex_unlock(&of->lock);
    if (has_room && is_own) atomic_fetch_add_explicit(&own_count, 1, memory_order_relaxed);
    return has_room;
}

static void copy(const entry *from, noria_task_record *to) {
    to->id = swift_task_getJobTaskId(from->task);
    to->task = from->task;
    to->made = from->made & ~own_bit;
    to->home = (const void *)(uintptr_t)(from->home_and_site & home_mask);
    to->site = (uint32_t)(from->home_and_site >> SITE_SHIFT);
    to->is_cancelled = swift_task_isCancelled(from->task);
    to->is_own = (from->made & own_bit) != 0;
    to->has_name = from->name != NULL;
    to->name[0] = 0;
    if (from->name) {
        strncpy(to->name, from->name, NORIA_TASK_NAME_BYTES - 1);
        to->name[NORIA_TASK_NAME_BYTES - 1] = 0;
    }
}

/// The slot of a task, or of->capacity. Under the lock.
static size_t slot_of(const shard *of, uint64_t hash, const void *task) {
    if (!of->capacity) return 0;
    size_t slot = home_slot(hash, of->capacity);
    while (of->entries[slot].task && of->entries[slot].task != task)
        slot = slot + 1 == of->capacity ? 0 : slot + 1;
    return of->entries[slot].task ? slot : of->capacity;
}

/// Frees a slot, and moves up what stands behind it and belongs before it.
static void clear(shard *of, size_t slot) {
    size_t free_slot = slot, next = slot;
    while (true) {
        next = next + 1 == of->capacity ? 0 : next + 1;
        if (!of->entries[next].task) break;
        size_t home = home_slot(hash_of(of->entries[next].task), of->capacity);
        bool stays = free_slot <= next ? free_slot < home && home <= next
                                       : free_slot < home || home <= next;
        if (stays) continue;
        of->entries[free_slot] = of->entries[next];
        free_slot = next;
    }
    of->entries[free_slot].task = NULL;
    of->count -= 1;
}

void noria_task_unlist(void *task) {
    uint64_t hash = hash_of(task);
    shard *of = shard_of(hash);
    bool was_own = false;
    pthread_mutex_lock(&of->lock);
    size_t slot = slot_of(of, hash, task);
    if (slot < of->capacity) {
        was_own = (of->entries[slot].made & own_bit) != 0;
        if (noria_sites_are_kept()) copy(&of->entries[slot], &last_unlisted);
        clear(of, slot);
        // Left as it is when there is no memory.
        if (of->capacity > 4 * least_capacity && of->count < of->capacity / 4)
            resize(of, of->capacity / 2);
    }
    pthread_mutex_unlock(&of->lock);
    if (was_own) atomic_fetch_sub_explicit(&own_count, 1, memory_order_relaxed);
}

size_t noria_task_count(void) {
    size_t count = 0;
    for (unsigned index = 0; index < NORIA_TASK_SHARDS; index += 1) {
        pthread_mutex_lock(&shards[index].lock);
        count += shards[index].count;
        pthread_mutex_unlock(&shards[index].lock);
    }
    return count;
}

size_t noria_task_count_foreign(void) {
    size_t own = atomic_load_explicit(&own_count, memory_order_relaxed);
    size_t count = noria_task_count();
    return count > own ? count - own : 0;
}

size_t noria_task_registry_bytes(void) {
    size_t bytes = sizeof shards;
    for (unsigned index = 0; index < NORIA_TASK_SHARDS; index += 1) {
        pthread_mutex_lock(&shards[index].lock);
        bytes += shards[index].capacity * sizeof(entry);
        pthread_mutex_unlock(&shards[index].lock);
    }
    return bytes;
}

size_t noria_task_copy(unsigned index, noria_task_record *records, size_t capacity) {
    shard *of = &shards[index];
    size_t copied = 0;
    pthread_mutex_lock(&of->lock);
    size_t count = of->count;
    for (size_t slot = 0; slot < of->capacity && copied < capacity; slot += 1)
        if (of->entries[slot].task) copy(&of->entries[slot], &records[copied++]);
    pthread_mutex_unlock(&of->lock);
    return count;
}

size_t noria_task_retain_foreign(unsigned index, void **tasks, size_t capacity) {
    shard *of = &shards[index];
    size_t count = 0;
    pthread_mutex_lock(&of->lock);
    for (size_t slot = 0; slot < of->capacity; slot += 1) {
        const entry *entry = &of->entries[slot];
        if (!entry->task || entry->made & own_bit) continue;
        if (count < capacity) tasks[count] = swift_retain(entry->task);
        count += 1;
    }
    pthread_mutex_unlock(&of->lock);
    return count;
}

bool noria_task_find(uint64_t id, noria_task_record *record) {
    if (last_unlisted.id == id) {
        *record = last_unlisted;
        return true;
    }
    bool is_found = false;
    for (unsigned index = 0; index < NORIA_TASK_SHARDS && !is_found; index += 1) {
        shard *of = &shards[index];
        pthread_mutex_lock(&of->lock);
        for (size_t slot = 0; slot < of->capacity && !is_found; slot += 1) {
            void *task = of->entries[slot].task;
            if (!task || swift_task_getJobTaskId(task) != id) continue;
            copy(&of->entries[slot], record);
            is_found = true;
        }
        pthread_mutex_unlock(&of->lock);
    }
    return is_found;
}

bool noria_task_find_at(const void *task, noria_task_record *record) {
    uint64_t hash = hash_of(task);
    shard *of = shard_of(hash);
    pthread_mutex_lock(&of->lock);
    size_t slot = slot_of(of, hash, task);
    bool is_found = slot < of->capacity;
    if (is_found) copy(&of->entries[slot], record);
    pthread_mutex_unlock(&of->lock);
    return is_found;
}

// The layout of a task is that of Swift 6.3: what it goes on with, and the context for that.
enum { RESUME_OFFSET = 56 };

int noria_task_stack(const noria_task_record *record, uintptr_t *calls, int limit) {
    uint64_t hash = hash_of(record->task);
    shard *of = shard_of(hash);
    int count = 0;
    pthread_mutex_lock(&of->lock);
    size_t slot = slot_of(of, hash, record->task);
    bool is_same = slot < of->capacity && swift_task_getJobTaskId(of->entries[slot].task) == record->id;
    uintptr_t words[2];
    if (is_same && limit > 0
        && noria_read_memory((uintptr_t)record->task + RESUME_OFFSET, words, sizeof words)) {
        calls[count++] = words[0];
        // A context begins with its caller's and with what the caller goes on with.
        uintptr_t context = words[1];
        while (count < limit && context && noria_read_memory(context, words, sizeof words)) {
            if (!words[0] || !words[1]) break;
            calls[count++] = words[1];
            context = words[0];
        }
    }
    pthread_mutex_unlock(&of->lock);
    return count;
}
