// SPDX-License-Identifier: Apache-2.0
// The failed tasks whose handles somebody still had at their ends, between the hook and the turns.
#ifndef NORIA_HELD_TASKS_H
#define NORIA_HELD_TASKS_H

#include "noria_tasks.h"

/// Tells whoever takes failures.
void noria_tasks_report(const noria_task_failure *failure);

/// Whether it is told of who awaits: else nothing is kept.
void noria_tasks_hold_when(bool is_told);
/// Keeps a task that is about to end in an error.
void noria_tasks_hold(void *task, const noria_task_failure *failure);
/// Somebody has taken a copy of an error, as who awaits a task does.
void noria_tasks_note_await(const void *error);

#endif
