// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Enqueues one job, as the runtime enqueues a task that belongs to no actor. Each time it runs it
/// enqueues itself again, until it has run `count` times; the last run calls `done(context)`.
void bare_job_start(long count, void (*_Nonnull done)(void *_Nonnull context),
                    void *_Nonnull context);
