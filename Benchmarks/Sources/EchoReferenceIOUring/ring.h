// SPDX-License-Identifier: Apache-2.0
#ifndef RING_H
#define RING_H

#include <linux/io_uring.h>
#include <stdint.h>

/// One io_uring, mapped; `tail` and `submitted` are ours, the pointers lead to the kernel's side.
struct ring {
    int fd;
    unsigned registered; // The ring's index among the registered rings, which saves a lookup.
    unsigned enter_flags;
    unsigned submission_mask, completion_mask, tail, submitted;
    unsigned *submission_head, *submission_tail, *completion_head, *completion_tail;
    struct io_uring_sqe *submissions;
    struct io_uring_cqe *completions;
};

/// Sets the ring up with what this kernel must have: Linux 6.6. Ends the process when it has not.
void ring_open(struct ring *ring);

/// Registers with the ring; returns the call's result or a negative errno.
int ring_register(struct ring *ring, unsigned opcode, void *argument, unsigned count);

/// Hands all new submissions to the kernel and awaits `count` completions.
void ring_enter(struct ring *ring, unsigned count);

/// The next submission, zeroed but for what is given. A full queue is handed over first.
struct io_uring_sqe *ring_submission(struct ring *ring, uint8_t opcode, int fd, uint64_t user_data);

#endif
