// SPDX-License-Identifier: Apache-2.0
#ifndef BUFFERS_H
#define BUFFERS_H

#include <stdbool.h>

#include "ring.h"

/// Few buffers stay in the cache, and large ones take a message whole: at 50 × 100 KiB 64 buffers
/// cost 25.4 µs a request, 128 cost 29.8 and 256 cost 30.4. At 1 KiB the count makes no difference
/// beyond the noise, though with 64 one receive in 14 finds none at 50 connections and is armed
/// again.
enum { buffer_count = 64, buffer_byte_count = 128 * 1024, buffer_group = 0 };

/// Received bytes: those from `start` to `end` wait to be sent. Either one of the shared buffers,
/// which the kernel has when it is empty, or a copy on the heap.
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

/// Copies what a shared buffer holds to the heap and returns the shared one: a peer that does not
/// read its answers must not keep the buffers of all others.
struct buffer *buffers_copy(struct buffer *buffer);

/// Lends a shared buffer to the kernel again; frees a copy.
void buffers_return(struct buffer *buffer);

#endif
