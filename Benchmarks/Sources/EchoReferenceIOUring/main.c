// SPDX-License-Identifier: Apache-2.0
//
// The echo server that one writes in C on io_uring: one thread, one `io_uring_enter` a turn, for
// each connection a multishot receive into shared buffers and at most one send. It is the yardstick
// of Noria's io_uring backend.
//
// Tried and not kept, on Linux 6.18: a one-shot receive into the connection's own buffer, then the
// send; the same with the next receive linked to the send; `send` called inline; direct
// descriptors. At 1 KiB with 1 and 50 connections all are within 3 % of this in their fastest runs,
// with 1,000 they scatter by more than they differ; at 1,000 × 100 KiB own buffers cost a fifth
// more than shared ones, which stay in the cache.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "EchoListener.h"
#include "buffers.h"

/// A peer, and what it is still owed, in the order of the stream. One send at most is in flight, of
/// `first`. The kernel names a connection by its address, so it is freed only when no operation of
/// it is in flight and it does not wait for a buffer.
struct connection {
    int fd;
    bool receiving, sending, starved, ended;
    struct buffer *first, *last;
    struct connection *next_starved;
};

/// What an operation was, in the low bits of its user data; above them stands the connection.
enum kind { accepting, receiving, sending, cancelling, terminating, kind_mask = 7 };

static struct ring ring;
/// Those whose receive found no buffer: first come, first served.
static struct connection *starved, **starved_end = &starved;

static struct io_uring_sqe *submission(struct connection *connection, uint8_t opcode,
                                       enum kind kind) {
    return ring_submission(&ring, opcode, connection->fd, (uintptr_t)connection | kind);
}

static void accept_all(int listener) {
    ring_submission(&ring, IORING_OP_ACCEPT, listener, accepting)->ioprio =
        IORING_ACCEPT_MULTISHOT;
}

static void receive(struct connection *connection) {
    struct io_uring_sqe *recv = submission(connection, IORING_OP_RECV, receiving);
    // A connection is armed when nothing has arrived, so that a first look would be in vain.
    recv->ioprio = IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
    recv->flags = IOSQE_BUFFER_SELECT;
    recv->buf_group = buffer_group;
    connection->receiving = true;
}

static void send_first(struct connection *connection) {
    struct buffer *buffer = connection->first;
    struct io_uring_sqe *send = submission(connection, IORING_OP_SEND, sending);
    send->addr = (uintptr_t)(buffer->bytes + buffer->start);
    send->len = buffer->end - buffer->start;
    // A copy may wait in the kernel until the socket takes some of it, a shared buffer may not.
    send->msg_flags = MSG_NOSIGNAL | (buffer->shared ? MSG_DONTWAIT : 0);
    connection->sending = true;
}

/// Does what comes next on a connection that has no send in flight.
static void advance(struct connection *connection) {
    if (connection->first != NULL) {
        send_first(connection);
    } else if (!connection->receiving && !connection->starved) {
        if (!connection->ended) return receive(connection);
        close(connection->fd);
        free(connection);
    }
}

static void push(struct connection *connection, struct buffer *buffer) {
    if (connection->first == NULL)
        connection->first = buffer;
    else
        connection->last->next = buffer;
    connection->last = buffer;
}

static void pop(struct connection *connection) {
    struct buffer *buffer = connection->first;
    connection->first = buffer->next;
    buffers_return(buffer);
}

/// Reads no more of a peer whose socket is full, and owes it copies from now on.
static void hold(struct connection *connection) {
    struct buffer *buffer = connection->first;
    connection->first = NULL;
    while (buffer != NULL) {
        struct buffer *next = buffer->next;
        push(connection, buffers_copy(buffer));
        buffer = next;
    }
    if (connection->receiving) {
        struct io_uring_sqe *cancel =
            ring_submission(&ring, IORING_OP_ASYNC_CANCEL, -1, cancelling);
        cancel->addr = (uintptr_t)connection | receiving;
    }
}

static void accepted(int listener, const struct io_uring_cqe *completion) {
    if (!(completion->flags & IORING_CQE_F_MORE)) accept_all(listener);
    if (completion->res == -ECONNABORTED) return;
    if (completion->res < 0) echo_fail("accept", -completion->res);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) echo_fail("calloc", ENOMEM);
    connection->fd = completion->res;
    receive(connection);
}

static void received(struct connection *connection, const struct io_uring_cqe *completion) {
    if (!(completion->flags & IORING_CQE_F_MORE)) connection->receiving = false;
    if (completion->res > 0) {
        struct buffer *buffer = buffers_take(completion);
        if (connection->ended)
            buffers_return(buffer);
        else if (connection->first != NULL && !connection->first->shared)
            push(connection, buffers_copy(buffer));
        else
            push(connection, buffer);
    } else if (completion->res == -ENOBUFS) {
        connection->starved = true;
        connection->next_starved = NULL;
        *starved_end = connection;
        starved_end = &connection->next_starved;
    } else if (completion->res != -ECANCELED) {
        connection->ended = true;
    }
    if (!connection->sending) advance(connection);
}

static void sent(struct connection *connection, const struct io_uring_cqe *completion) {
    connection->sending = false;
    struct buffer *buffer = connection->first;
    if (completion->res >= 0) {
        buffer->start += (unsigned)completion->res;
        if (buffer->start == buffer->end)
            pop(connection);
        else if (buffer->shared)
            hold(connection);
    } else if (completion->res == -EAGAIN) {
        hold(connection);
    } else {
        // The peer is gone. The shutdown ends a receive that is in flight.
        connection->ended = true;
        while (connection->first != NULL) pop(connection);
        shutdown(connection->fd, SHUT_RDWR);
    }
    advance(connection);
}

/// Arms as many starved connections as there are buffers.
static void feed_starved(void) {
    for (unsigned count = buffers_free; starved != NULL && count > 0; count--) {
        struct connection *connection = starved;
        starved = connection->next_starved;
        if (starved == NULL) starved_end = &starved;
        connection->starved = false;
        if (!connection->sending) advance(connection);
    }
}

/// Lets SIGTERM arrive as a completion. A handler would serve as well but for Valgrind 3.19, which
/// takes io_uring_enter for a call that never blocks and delivers no signal in it.
static void await_termination(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (fd < 0) echo_fail("signalfd", errno);
    ring_submission(&ring, IORING_OP_POLL_ADD, fd, terminating)->poll32_events = POLLIN;
}

int main(int argument_count, char **arguments) {
    int listener = echo_listen(argument_count, arguments);
    ring_open(&ring);
    buffers_open(&ring);
    accept_all(listener);
    await_termination();
    echo_announce(listener, "io_uring");
    for (;;) {
        ring_enter(&ring, 1);
        unsigned head = *ring.completion_head;
        unsigned tail = __atomic_load_n(ring.completion_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++) {
            struct io_uring_cqe completion = ring.completions[head & ring.completion_mask];
            __atomic_store_n(ring.completion_head, head + 1, __ATOMIC_RELEASE);
            void *connection = (void *)(uintptr_t)(completion.user_data & ~(uint64_t)kind_mask);
            switch (completion.user_data & kind_mask) {
            case accepting: accepted(listener, &completion); break;
            case receiving: received(connection, &completion); break;
            case sending: sent(connection, &completion); break;
            case terminating: return 0;
            default: break; // The receive itself tells how its cancelling went.
            }
        }
        feed_starved();
    }
}
