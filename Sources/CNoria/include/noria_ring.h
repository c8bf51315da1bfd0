// SPDX-License-Identifier: Apache-2.0
// io_uring in raw system calls: the queues' memory order, the numbers, and no decisions.
//
// The numbers are our own, since a distribution's headers are older than the kernels it meets.
// Man pages: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
#ifndef NORIA_RING_H
#define NORIA_RING_H

#include "noria_platform.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    NORIA_SETUP_CQSIZE = 1 << 3,
    NORIA_SETUP_CLAMP = 1 << 4,
    NORIA_SETUP_R_DISABLED = 1 << 6,
    NORIA_SETUP_SUBMIT_ALL = 1 << 7,
    NORIA_SETUP_TASKRUN_FLAG = 1 << 9,
    NORIA_SETUP_SINGLE_ISSUER = 1 << 12,
    NORIA_SETUP_DEFER_TASKRUN = 1 << 13,
    NORIA_SETUP_NO_SQARRAY = 1 << 16,

    NORIA_FEATURE_NODROP = 1 << 1,
    NORIA_FEATURE_EXT_ARG = 1 << 8,
    NORIA_FEATURE_NO_IOWAIT = 1 << 17,

    NORIA_OP_FSYNC = 3,
    NORIA_OP_POLL_ADD = 6,
    NORIA_OP_ACCEPT = 13,
    NORIA_OP_ASYNC_CANCEL = 14,
    NORIA_OP_CONNECT = 16,
    NORIA_OP_READ = 22,
    NORIA_OP_WRITE = 23,
    NORIA_OP_SEND = 26,
    NORIA_OP_RECV = 27,

    NORIA_SQE_BUFFER_SELECT = 1 << 5,
    NORIA_SQE_CQE_SKIP_SUCCESS = 1 << 6,
    NORIA_RECVSEND_POLL_FIRST = 1 << 0,
    NORIA_CQE_BUFFER = 1 << 0,
    NORIA_CQE_SOCKET_NOT_EMPTY = 1 << 2,
};

/// A submission as the kernel reads it.
typedef struct {
    uint8_t opcode;
    uint8_t flags;
    uint16_t priority;
    int32_t fd;
    uint64_t offset;
    uint64_t address;
    uint32_t length;
    uint32_t operation_flags;
    uint64_t user_data;
    uint16_t buffer_group;
    uint16_t personality;
    int32_t unused[5];
} noria_sqe;

/// A completion as the kernel writes it.
typedef struct {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
} noria_cqe;

/// One buffer of a buffer ring; the first one's last word is the ring's tail.
typedef struct {
    uint64_t address;
    uint32_t length;
    uint16_t id;
    uint16_t tail;
} noria_ring_buffer;

/// A ring and what is mapped of it. One thread's.
typedef struct {
    int fd;
    /// What `enter` names the ring by: its index, once the thread has registered it.
    int enter_fd;
    uint32_t enter_flags;
    uint32_t features;
    uint32_t setup_flags;

    void *queues;
    uint64_t queues_size;
    noria_sqe *sqes;
    uint64_t sqes_size;
    uint32_t *sq_head;
    uint32_t *sq_tail;
    uint32_t *sq_flags;
    uint32_t sq_mask;
    uint32_t sq_entries;
    /// Prepared, and submitted, so far.
    uint32_t prepared;
    uint32_t submitted;

    uint32_t *cq_head;
    uint32_t *cq_tail;
    uint32_t *cq_overflow;
    uint32_t cq_mask;
    uint32_t cq_entries;
    noria_cqe *cqes;

    noria_ring_buffer *buffers;
    uint64_t buffers_size;
    uint16_t buffer_mask;
    uint16_t buffer_tail;
} noria_ring;

/// Sets a ring up: 0, or a negative error. `noria_ring_close` undoes it.
int noria_ring_setup(noria_ring *ring, uint32_t entries, uint32_t completions, uint32_t flags);
void noria_ring_close(noria_ring *ring);
/// Enables a disabled ring for the calling thread, which alone may submit from now on.
int noria_ring_enable(noria_ring *ring);
/// Has `enter` find the ring by an index, which saves a look-up; failing costs nothing else.
void noria_ring_register_descriptor(noria_ring *ring);
/// Has the calling thread, which submits, use at most that many of the kernel's own threads for
/// regular files; failing (before 5.15) leaves the kernel's limit.
void noria_ring_limit_workers(noria_ring *ring, uint32_t count);
/// Whether the kernel knows the operation.
bool noria_ring_supports(noria_ring *ring, const uint8_t *operations, int count);
/// Registers a ring of `count` (a power of two) buffers as group 0: 0, or a negative error.
int noria_ring_register_buffers(noria_ring *ring, uint16_t count);

/// Submits what was prepared and waits for `minimum` completions, up to `nanoseconds` (negative:
/// without end): the number submitted, or a negative error, of which -ETIME is the time's end.
long noria_ring_enter(noria_ring *ring, uint32_t minimum, int64_t nanoseconds);

/// The next free submission, zeroed, or null when the queue is full.
static inline noria_sqe *noria_ring_next(noria_ring *ring) {
    uint32_t head = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    if (ring->prepared - head >= ring->sq_entries) return 0;
    noria_sqe *sqe = &ring->sqes[ring->prepared & ring->sq_mask];
    ring->prepared += 1;
    __builtin_memset(sqe, 0, sizeof *sqe);
    return sqe;
}

/// Copies up to `limit` completions out and frees their places: how many.
static inline uint32_t noria_ring_take(noria_ring *ring, noria_cqe *into, uint32_t limit) {
    uint32_t head = *ring->cq_head;
    uint32_t count = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) - head;
    if (count > limit) count = limit;
    for (uint32_t index = 0; index < count; index += 1)
        into[index] = ring->cqes[(head + index) & ring->cq_mask];
    if (count > 0) __atomic_store_n(ring->cq_head, head + count, __ATOMIC_RELEASE);
    return count;
}

/// Whether the kernel holds work back until it is entered: completions of deferred tasks, or
/// those for which the queue had no place.
static inline bool noria_ring_wants_entry(const noria_ring *ring) {
    enum { OVERFLOW = 1 << 1, TASKRUN = 1 << 2 };
    return __atomic_load_n(ring->sq_flags, __ATOMIC_RELAXED) & (OVERFLOW | TASKRUN);
}

static inline uint32_t noria_ring_overflows(const noria_ring *ring) {
    return __atomic_load_n(ring->cq_overflow, __ATOMIC_RELAXED);
}

/// Lends a buffer to the kernel.
static inline void noria_ring_provide(noria_ring *ring, void *address, uint32_t length,
                                      uint16_t id) {
    noria_ring_buffer *buffer = &ring->buffers[ring->buffer_tail & ring->buffer_mask];
    buffer->address = (uint64_t)(uintptr_t)address;
    buffer->length = length;
    buffer->id = id;
    ring->buffer_tail += 1;
    __atomic_store_n(&ring->buffers[0].tail, ring->buffer_tail, __ATOMIC_RELEASE);
}

#endif
