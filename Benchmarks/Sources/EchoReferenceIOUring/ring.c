// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "EchoListener.h"

enum {
    submission_count = 256,
    completion_count = 4096,
    // Newer than the kernel headers of the oldest distribution that this is built on.
    setup_no_sqarray = 1 << 16,   // Linux 6.6
    feature_no_iowait = 1 << 17,  // Linux 6.15
    enter_no_iowait = 1 << 7,
};

static void *map(int fd, size_t size, uint64_t offset) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                        (off_t)offset);
    if (memory == MAP_FAILED) echo_fail("mmap of the ring", errno);
    return memory;
}

void ring_open(struct ring *ring) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | setup_no_sqarray,
        .cq_entries = completion_count,
    };
    int fd = (int)syscall(__NR_io_uring_setup, submission_count, &params);
    if (fd < 0) echo_fail("io_uring_setup", errno);

    // Since Linux 5.4 one mapping holds both queues' heads and tails.
    size_t size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    char *queues = map(fd, size, IORING_OFF_SQ_RING);
    *ring = (struct ring){
        .fd = fd,
        .enter_flags = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING,
        .submission_mask = params.sq_entries - 1,
        .completion_mask = params.cq_entries - 1,
        .submission_head = (unsigned *)(queues + params.sq_off.head),
        .submission_tail = (unsigned *)(queues + params.sq_off.tail),
        .completion_head = (unsigned *)(queues + params.cq_off.head),
        .completion_tail = (unsigned *)(queues + params.cq_off.tail),
        .submissions = map(fd, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES),
        .completions = (struct io_uring_cqe *)(queues + params.cq_off.cqes),
    };
    if (params.features & feature_no_iowait) ring->enter_flags |= enter_no_iowait;

    struct io_uring_rsrc_update update = {.offset = UINT32_MAX, .data = (uint64_t)fd};
    int result = ring_register(ring, IORING_REGISTER_RING_FDS, &update, 1);
    if (result < 0) echo_fail("IORING_REGISTER_RING_FDS", -result);
    ring->registered = update.offset;
}

int ring_register(struct ring *ring, unsigned opcode, void *argument, unsigned count) {
    int result = (int)syscall(__NR_io_uring_register, ring->fd, opcode, argument, count);
    return result < 0 ? -errno : result;
}

void ring_enter(struct ring *ring, unsigned count) {
    __atomic_store_n(ring->submission_tail, ring->tail, __ATOMIC_RELEASE);
    int result = (int)syscall(__NR_io_uring_enter, ring->registered, ring->tail - ring->submitted,
                              count, ring->enter_flags, NULL, 0);
    // EBUSY: completions overflowed; the caller takes some and comes again. EINTR: a debugger.
    if (result < 0 && errno != EBUSY && errno != EAGAIN && errno != EINTR)
        echo_fail("io_uring_enter", errno);
    if (result > 0) ring->submitted += (unsigned)result;
}

struct io_uring_sqe *ring_submission(struct ring *ring, uint8_t opcode, int fd,
                                     uint64_t user_data) {
    while (ring->tail - __atomic_load_n(ring->submission_head, __ATOMIC_ACQUIRE) >
           ring->submission_mask)
        ring_enter(ring, 0);
    struct io_uring_sqe *submission = &ring->submissions[ring->tail++ & ring->submission_mask];
    *submission = (struct io_uring_sqe){.opcode = opcode, .fd = fd, .user_data = user_data};
    return submission;
}
