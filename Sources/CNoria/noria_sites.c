// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "noria_sites.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct {
    uintptr_t calls[NORIA_SITE_CALLS];
    int count;
} site;

enum { SLOTS = 8192 };

static _Atomic(bool) is_keeping;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// Number n is sites[n - 1]; a slot has the number of the chain whose hash leads there, or 0.
static site sites[NORIA_SITE_LIMIT];
static uint16_t slots[SLOTS];
static uint32_t site_count;

static __thread uintptr_t stack_end;

void noria_sites_keep(bool is_kept) { atomic_store(&is_keeping, is_kept); }
bool noria_sites_are_kept(void) {
    return atomic_load_explicit(&is_keeping, memory_order_relaxed);
}

static uintptr_t end_of_stack(void) {
    if (stack_end) return stack_end;
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
    void *start;
    size_t size;
    if (pthread_attr_getstack(&attributes, &start, &size) == 0) stack_end = (uintptr_t)start + size;
    pthread_attr_destroy(&attributes);
    return stack_end;
}

/// SAFETY: a frame begins with the address of the one above it, behind which the return address lies.
/// Where a function keeps something else in that register the walk reads some word of this thread's
/// own stack, above where it has been, and ends there or at its end.
static void walk(uintptr_t frame, site *found) {
    uintptr_t end = end_of_stack();
    found->count = 0;
    while (found->count < NORIA_SITE_CALLS && frame % sizeof(uintptr_t) == 0 && frame < end
           && end - frame >= 2 * sizeof(uintptr_t)) {
        const uintptr_t *words = (const uintptr_t *)frame;
        if (!words[1]) break;
        found->calls[found->count++] = words[1];
        if (words[0] <= frame) break;
        frame = words[0];
    }
}

uint32_t noria_site_above(void *frame) {
    if (!noria_sites_are_kept()) return 0;
    site found = {{0}, 0};
    walk((uintptr_t)frame, &found);
    uint64_t hash = 0;
    for (int index = 0; index < found.count; index += 1)
        hash = (hash ^ found.calls[index]) * 0x9e3779b97f4a7c15u;
    size_t slot = (size_t)(hash >> 51);
    uint32_t number = 0;
    pthread_mutex_lock(&lock);
    while ((number = slots[slot])) {
        const site *known = &sites[number - 1];
        if (known->count == found.count && !memcmp(known->calls, found.calls, sizeof found.calls))
            break;
        slot = (slot + 1) % SLOTS;
    }
    if (!number && site_count < NORIA_SITE_LIMIT) {
        sites[site_count] = found;
        number = ++site_count;
        slots[slot] = (uint16_t)number;
    }
    pthread_mutex_unlock(&lock);
    return number;
}

__attribute__((noinline)) uint32_t noria_site_here(void) {
    return noria_sites_are_kept() ? noria_site_above(__builtin_frame_address(0)) : 0;
}

int noria_site_calls(uint32_t number, uintptr_t *calls) {
    if (number == 0 || number > NORIA_SITE_LIMIT) return 0;
    pthread_mutex_lock(&lock);
    int count = number <= site_count ? sites[number - 1].count : 0;
    memcpy(calls, sites[number - 1].calls, (size_t)count * sizeof(uintptr_t));
    pthread_mutex_unlock(&lock);
    return count;
}

bool noria_read_memory(uintptr_t address, void *into, size_t count) {
    struct iovec here = {into, count}, there = {(void *)address, count};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)count;
}
