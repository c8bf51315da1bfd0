// SPDX-License-Identifier: Apache-2.0
// Processes of ours: started by posix_spawn, watched and waited for by a pidfd, never by number.
#ifndef NORIA_PROCESSES_H
#define NORIA_PROCESSES_H

#include "noria_platform.h"

#include <stdint.h>

/// What a worker finds its socket at.
enum { NORIA_WORKER_SOCKET = 3 };

/// A child, by its number and by a descriptor that names it until it was waited for.
typedef struct {
    int32_t process;
    int32_t descriptor;
} noria_child;

/// How a child ended: the exit code, or the signal with `is_signal` 1; `is_unknown` 1 when somebody
/// else took the answer.
typedef struct {
    int32_t number;
    int32_t is_signal;
    int32_t is_unknown;
} noria_child_end;

/// Starts a program with `socket` as descriptor 3, `errors` as its standard output and error and
/// an empty standard input; nothing else is open in it. No signal is ignored there, and of
/// those only SIGINT and SIGTERM are blocked: `noria_worker_signals` lets them in again. 0, or a
/// negative error.
long noria_spawn_worker(const char *path, char *const *arguments, char *const *environment,
                        int socket, int errors, noria_child *child);

/// Sends a signal to a child, by its descriptor: 0, or a negative error.
long noria_signal_child(int descriptor, int number);

/// Takes how a child ended, and lets the kernel forget it: 1, 0 while it runs, or a negative error.
/// With `waits` 1 it blocks until then.
long noria_reap_child(int descriptor, int waits, noria_child_end *end);

/// Limits what a process may have of private writable memory: 0, or a negative error.
long noria_limit_memory(int process, uint64_t byte_count);

/// A pipe whose ends are closed in other programs; the reading end, the first, does not block. 0,
/// or a negative error.
long noria_pipe(int ends[2]);
/// The name of a signal without its SIG, or null.
const char *noria_signal_name(int number);

// In a worker.

/// The process that made the other end of this socket, or a negative error.
long noria_socket_maker(int fd);
/// Has the descriptor closed in what this process starts.
void noria_close_on_exec(int fd);
/// Has standard output written line by line, though it is a pipe: a worker ends without a flush.
void noria_flush_lines(void);
/// Takes SIGINT and SIGTERM and does nothing; what the worker starts has their defaults again.
void noria_worker_signals(void);
/// Sends these bytes to `fd` when the process is about to end by a trap, an abort or a fault right
/// after an allocation failed; then it ends as it would have. The bytes are not copied.
void noria_tell_of_exhausted_memory(int fd, const void *bytes, uint64_t count);
/// Blocks until the other end is closed, without reading.
void noria_wait_for_hangup(int fd);

#endif
