// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "buffers.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "EchoListener.h"

unsigned buffers_free;
static struct buffer buffers[buffer_count];
static struct io_uring_buf_ring *lent;
static uint16_t tail;

void buffers_open(struct ring *ring) {
    size_t ring_size = buffer_count * sizeof(struct io_uring_buf);
    size_t size = (size_t)buffer_count * buffer_byte_count;
    char *memory = mmap(NULL, size + ring_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) echo_fail("mmap of the buffers", errno);
    lent = (struct io_uring_buf_ring *)(memory + size);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)lent, .ring_entries = buffer_count, .bgid = buffer_group};
    int result = ring_register(ring, IORING_REGISTER_PBUF_RING, &registration, 1);
    if (result < 0) echo_fail("IORING_REGISTER_PBUF_RING", -result);
    for (size_t index = 0; index < buffer_count; index++) {
        buffers[index].bytes = memory + index * buffer_byte_count;
        buffers[index].shared = true;
        buffers_return(&buffers[index]);
    }
}

struct buffer *buffers_take(const struct io_uring_cqe *completion) {
    struct buffer *buffer = &buffers[completion->flags >> IORING_CQE_BUFFER_SHIFT];
    buffer->start = 0;
    buffer->end = (unsigned)completion->res;
    buffer->next = NULL;
    buffers_free--;
    return buffer;
}

struct buffer *buffers_copy(struct buffer *buffer) {
    unsigned count = buffer->end - buffer->start;
    struct buffer *copy = malloc(sizeof *copy + count);
    if (copy == NULL) echo_fail("malloc", ENOMEM);
    *copy = (struct buffer){.bytes = (char *)(copy + 1), .end = count};
    memcpy(copy->bytes, buffer->bytes + buffer->start, count);
    buffers_return(buffer);
    return copy;
}

void buffers_return(struct buffer *buffer) {
    if (!buffer->shared) return free(buffer);
    struct io_uring_buf *entry = &lent->bufs[tail++ & (buffer_count - 1)];
    entry->addr = (uintptr_t)buffer->bytes;
    entry->len = buffer_byte_count;
    entry->bid = (uint16_t)(buffer - buffers);
    __atomic_store_n(&lent->tail, tail, __ATOMIC_RELEASE);
    buffers_free++;
}
