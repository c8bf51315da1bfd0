// SPDX-License-Identifier: Apache-2.0
// What Swift cannot say: one header a subject, no logic in any of them.
#ifndef CNORIA_H
#define CNORIA_H

#include "noria_executors.h"
#include "noria_processes.h"
#include "noria_ring.h"
#include "noria_signals.h"
#include "noria_sites.h"
#include "noria_stacks.h"
#include "noria_system.h"
#include "noria_task_registry.h"
#include "noria_tasks.h"
#include "noria_thread.h"

#endif
