// SPDX-License-Identifier: Apache-2.0
// The live tasks: a sharded table, 32 bytes an entry, at most 64 with the room that it keeps.
#ifndef NORIA_TASK_REGISTRY_H
#define NORIA_TASK_REGISTRY_H

#include "noria_platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NORIA_TASK_SHARDS = 32, NORIA_TASK_NAME_BYTES = 64 };

/// A listed task at one moment.
typedef struct {
    uint64_t id;
    /// To find it again with; compared only.
    const void *task;
    /// When it was made: CLOCK_MONOTONIC, in nanoseconds.
    uint64_t made;
    /// The executor that it was given, else the loop that it was made on, else null: compared only.
    const void *home;
    /// Where it was made, if that was kept: see noria_sites.h.
    uint32_t site;
    bool is_cancelled;
    bool is_own;
    bool has_name;
    /// The name's first bytes, with a zero behind them.
    char name[NORIA_TASK_NAME_BYTES];
} noria_task_record;

/// Lists a task that has not begun to run: false when there is no memory. `name` lives in the task.
bool noria_task_list(void *task, const char *name, const void *home, uint32_t site, bool is_own);
/// Takes a task off, before it has ended. While sites are kept the thread remembers the last one.
void noria_task_unlist(void *task);
/// A listed task, or the last one that this thread has taken off, by its number: false for none.
bool noria_task_find(uint64_t id, noria_task_record *record);
/// A listed task by its address, which is only compared: false for none.
bool noria_task_find_at(const void *task, noria_task_record *record);
/// Where a listed task goes on, and its callers behind it: how many. What it read may be of different
/// moments, when the task runs meanwhile; no address is followed but by asking the kernel.
int noria_task_stack(const noria_task_record *record, uintptr_t *calls, int limit);

/// The listed tasks, and those of them that are not the runtime's own. Any thread.
size_t noria_task_count(void);
size_t noria_task_count_foreign(void);
/// The bytes of the table.
size_t noria_task_registry_bytes(void);
/// How many of a shard's there are, whatever fits copied to `records`. Any thread.
size_t noria_task_copy(unsigned shard, noria_task_record *records, size_t capacity);
/// Retains a shard's foreign tasks, whatever fits, and returns how many there are. Any thread.
size_t noria_task_retain_foreign(unsigned shard, void **tasks, size_t capacity);

#endif
