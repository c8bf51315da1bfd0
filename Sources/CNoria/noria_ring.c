// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "noria_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// The numbers are the same on every architecture.
#define SYSCALL_SETUP 425
#define SYSCALL_ENTER 426
#define SYSCALL_REGISTER 427

#define OFFSET_QUEUES 0ull
#define OFFSET_SQES 0x10000000ull

enum {
    ENTER_GETEVENTS = 1 << 0,
    ENTER_EXT_ARG = 1 << 3,
    ENTER_REGISTERED_RING = 1 << 4,
    ENTER_NO_IOWAIT = 1 << 7,

    REGISTER_PROBE = 8,
    REGISTER_ENABLE_RINGS = 12,
    REGISTER_IOWQ_MAX_WORKERS = 19,
    REGISTER_RING_FDS = 20,
    REGISTER_PBUF_RING = 22,
};

struct queue_offsets {
    uint32_t head, tail, ring_mask, ring_entries;
    // Submissions: flags, dropped, array. Completions: overflow, cqes, flags.
    uint32_t fifth, sixth, seventh, reserved;
    uint64_t user_address;
};

struct setup_parameters {
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd;
    uint32_t reserved[3];
    struct queue_offsets sq, cq;
};

struct time_limit {
    int64_t seconds, nanoseconds;
};

struct wait_argument {
    uint64_t signal_mask;
    uint32_t signal_mask_size;
    uint32_t minimum_wait;
    uint64_t time_limit;
};

static int register_with(noria_ring *ring, unsigned operation, void *argument, unsigned count) {
    long result = syscall(SYSCALL_REGISTER, ring->fd, operation, argument, count);
    return result < 0 ? -errno : (int)result;
}

static void *map(int fd, uint64_t size, uint64_t offset) {
    return mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
}

int noria_ring_setup(noria_ring *ring, uint32_t entries, uint32_t completions, uint32_t flags) {
    struct setup_parameters parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = flags | NORIA_SETUP_CQSIZE;
    parameters.cq_entries = completions;
    long fd = syscall(SYSCALL_SETUP, entries, &parameters);
    if (fd < 0) return -errno;

    memset(ring, 0, sizeof *ring);
    ring->fd = ring->enter_fd = (int)fd;
    ring->features = parameters.features;
    ring->setup_flags = flags;
    bool has_array = !(flags & NORIA_SETUP_NO_SQARRAY);
    uint64_t sq_size =
        has_array ? parameters.sq.seventh + parameters.sq_entries * sizeof(uint32_t) : 0;
    uint64_t cq_size = parameters.cq.sixth + parameters.cq_entries * sizeof(noria_cqe);
    ring->queues_size = sq_size > cq_size ? sq_size : cq_size;
    ring->sqes_size = parameters.sq_entries * sizeof(noria_sqe);
    ring->queues = map(ring->fd, ring->queues_size, OFFSET_QUEUES);
    ring->sqes = map(ring->fd, ring->sqes_size, OFFSET_SQES);
    if (ring->queues == MAP_FAILED || ring->sqes == MAP_FAILED) {
        int error = errno;
        noria_ring_close(ring);
        return -error;
    }
    // A child of this process must not find the memory that the kernel writes to.
    madvise(ring->queues, ring->queues_size, MADV_DONTFORK);
    madvise(ring->sqes, ring->sqes_size, MADV_DONTFORK);

    char *start = ring->queues;
    ring->sq_head = (uint32_t *)(start + parameters.sq.head);
    ring->sq_tail = (uint32_t *)(start + parameters.sq.tail);
    ring->sq_flags = (uint32_t *)(start + parameters.sq.fifth);
    ring->sq_entries = parameters.sq_entries;
    ring->sq_mask = parameters.sq_entries - 1;
    ring->cq_head = (uint32_t *)(start + parameters.cq.head);
    ring->cq_tail = (uint32_t *)(start + parameters.cq.tail);
    ring->cq_overflow = (uint32_t *)(start + parameters.cq.fifth);
    ring->cq_entries = parameters.cq_entries;
    ring->cq_mask = parameters.cq_entries - 1;
    ring->cqes = (noria_cqe *)(start + parameters.cq.sixth);
    if (has_array) {
        uint32_t *array = (uint32_t *)(start + parameters.sq.seventh);
        for (uint32_t index = 0; index < ring->sq_entries; index += 1) array[index] = index;
    }
    return 0;
}

void noria_ring_close(noria_ring *ring) {
    if (ring->queues && ring->queues != MAP_FAILED) munmap(ring->queues, ring->queues_size);
    if (ring->sqes && (void *)ring->sqes != MAP_FAILED) munmap(ring->sqes, ring->sqes_size);
    // Closing the ring ends its use of the buffer ring, whose memory goes after it.
    if (ring->fd >= 0) close(ring->fd);
    if (ring->buffers) munmap(ring->buffers, ring->buffers_size);
    memset(ring, 0, sizeof *ring);
    ring->fd = -1;
}

int noria_ring_enable(noria_ring *ring) {
    return register_with(ring, REGISTER_ENABLE_RINGS, 0, 0);
}

void noria_ring_register_descriptor(noria_ring *ring) {
    struct {
        uint32_t offset, reserved;
        uint64_t data;
    } update = {UINT32_MAX, 0, (uint64_t)ring->fd};
    if (register_with(ring, REGISTER_RING_FDS, &update, 1) != 1) return;
    ring->enter_fd = (int)update.offset;
    ring->enter_flags |= ENTER_REGISTERED_RING;
}

void noria_ring_limit_workers(noria_ring *ring, uint32_t count) {
    // Those for regular files; 0 leaves the others as they are.
    uint32_t limits[2] = {count, 0};
    register_with(ring, REGISTER_IOWQ_MAX_WORKERS, limits, 2);
}

bool noria_ring_supports(noria_ring *ring, const uint8_t *operations, int count) {
    struct {
        uint8_t last_operation, operation_count;
        uint16_t reserved;
        uint32_t more[3];
        struct {
            uint8_t operation, reserved;
            uint16_t flags;
            uint32_t more;
        } operations[64];
    } probe;
    memset(&probe, 0, sizeof probe);
    if (register_with(ring, REGISTER_PROBE, &probe, 64) < 0) return false;
    for (int index = 0; index < count; index += 1) {
        if (operations[index] > probe.last_operation) return false;
        if (!(probe.operations[operations[index]].flags & 1)) return false;
    }
    return true;
}

int noria_ring_register_buffers(noria_ring *ring, uint16_t count) {
    uint64_t size = (uint64_t)count * sizeof(noria_ring_buffer);
    void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -errno;
    struct {
        uint64_t address;
        uint32_t entries;
        uint16_t group, flags;
        uint64_t reserved[3];
    } registration = {(uint64_t)(uintptr_t)memory, count, 0, 0, {0, 0, 0}};
    int result = register_with(ring, REGISTER_PBUF_RING, &registration, 1);
    if (result < 0) {
        munmap(memory, size);
        return result;
    }
    ring->buffers = memory;
    ring->buffers_size = size;
    ring->buffer_mask = count - 1;
    return 0;
}

long noria_ring_enter(noria_ring *ring, uint32_t minimum, int64_t nanoseconds) {
    uint32_t count = ring->prepared - ring->submitted;
    __atomic_store_n(ring->sq_tail, ring->prepared, __ATOMIC_RELEASE);
    uint32_t flags = ENTER_GETEVENTS | ring->enter_flags;
    struct time_limit limit;
    struct wait_argument argument = {0, 0, 0, 0};
    void *extra = 0;
    uint64_t extra_size = 0;
    if (minimum > 0) {
        // Else a server that sleeps looks like one that waits for its disk.
        if (ring->features & NORIA_FEATURE_NO_IOWAIT) flags |= ENTER_NO_IOWAIT;
        if (nanoseconds >= 0) {
            limit.seconds = nanoseconds / 1000000000;
            limit.nanoseconds = nanoseconds % 1000000000;
            argument.time_limit = (uint64_t)(uintptr_t)&limit;
            flags |= ENTER_EXT_ARG;
            extra = &argument;
            extra_size = sizeof argument;
        }
    }
    long result =
        syscall(SYSCALL_ENTER, ring->enter_fd, count, minimum, flags, extra, extra_size);
    if (result < 0) result = -errno;
    // The kernel's head tells what it took, also when the wait ended with an error.
    ring->submitted = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    return result;
}
