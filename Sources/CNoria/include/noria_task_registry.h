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
    /// When it was made: CLOCK_MONOTONIC, in nanoseconds.
    uint64_t made;
    /// The executor that it was given, else the loop that it was made on, else null: compared only.
    const void *home;
    bool is_cancelled;
    bool is_own;
    bool has_name;
    /// The name's first bytes, with a zero behind them.
    char name[NORIA_TASK_NAME_BYTES];
} noria_task_record;

/// Lists a task that has not begun to run: false when there is no memory. `name` lives in the task.
bool noria_task_list(void *task, const char *name, const void *home, bool is_own);
/// Takes a task off, before it has ended.
void noria_task_unlist(void *task);

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
