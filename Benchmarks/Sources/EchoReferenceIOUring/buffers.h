// SPDX-License-Identifier: Apache-2.0
#ifndef BUFFERS_H
#define BUFFERS_H

#include <stdbool.h>

#include "ring.h"

/// Few buffers stay in the cache and large ones take a message whole. At 1,000 × 100 KiB 1,024
/// buffers cost 33.6 µs a request and 64 cost 29.6; at 50 × 100 KiB 27.6 against 23.8. A turn
/// brings about 20 completions, so 64 suffice while no send is held up.
enum { buffer_count = 64, buffer_byte_count = 128 * 1024, buffer_group = 0 };

/// Received bytes: those from `start` to `end` wait to be sent. Either one of the shared buffers, on
/// loan to the kernel when empty, or a copy on the heap.
struct buffer {
    char *bytes;
    unsigned start, end;
    bool shared;
    struct buffer *next; // The connection's next one, in the order of the stream.
};

/// How many buffers the kernel may fill.
extern unsigned buffers_free;

/// Makes the buffers and lends all of them to the kernel.
void buffers_open(struct ring *ring);

/// The buffer that a completed receive filled.
struct buffer *buffers_take(const struct io_uring_cqe *completion);

/// Copies what a shared buffer holds to the heap and returns the shared one: a peer that does not read
/// its answers must not keep the buffers of all others.
struct buffer *buffers_copy(struct buffer *buffer);

/// Lends a shared buffer to the kernel again; frees a copy.
void buffers_return(struct buffer *buffer);

#endif
