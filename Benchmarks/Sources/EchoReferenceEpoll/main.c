// SPDX-License-Identifier: Apache-2.0
//
// The echo server that one writes in C on epoll: one thread, edge-triggered, `recv` until a short
// read, `send` inline. It is the yardstick of Noria's epoll backend.
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "EchoListener.h"

/// One buffer serves all connections. At 50 × 100 KiB its size decides: 65 µs a request with
/// 16 KiB, 44 with 32, 28 with 64, 24 with 128 and with 256. At 1 KiB it makes no difference.
enum { events_per_turn = 256, buffer_byte_count = 128 * 1024 };

/// A peer, and the bytes that its socket did not take yet: `rest` is NULL while there are none.
/// While there are some nothing is read, so what is kept never exceeds one buffer.
struct connection {
    int fd;
    char *rest;
    size_t start, end;
};

static char buffer[buffer_byte_count];

static void end(struct connection *connection) {
    close(connection->fd); // This also takes the descriptor out of the epoll set.
    free(connection->rest);
    free(connection);
}

/// Sends what it can and returns the count, 0 when the socket is full, or -1 on a dead connection.
static ssize_t send_some(int fd, const char *bytes, size_t count) {
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    return errno == EAGAIN ? 0 : -1;
}

/// Serves one readiness event until the socket is drained, full or dead.
static void serve(struct connection *connection, uint32_t events) {
    if (connection->rest != NULL) {
        size_t count = connection->end - connection->start;
        ssize_t sent = send_some(connection->fd, connection->rest + connection->start, count);
        if (sent < 0) return end(connection);
        connection->start += (size_t)sent;
        if ((size_t)sent < count) return;
        free(connection->rest);
        connection->rest = NULL;
    }
    // A short read says that the socket is empty and saves the read that would say EAGAIN. It says
    // nothing about an end of stream that came with the same edge: no other edge will tell of it.
    bool short_read_ends = !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    for (;;) {
        ssize_t received = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (received < 0 && errno == EAGAIN) return;
        if (received <= 0) return end(connection);
        ssize_t sent = send_some(connection->fd, buffer, (size_t)received);
        if (sent < 0) return end(connection);
        if (sent < received) {
            // The socket is full, so the kernel owes an EPOLLOUT edge; reading goes on there.
            connection->start = 0;
            connection->end = (size_t)(received - sent);
            connection->rest = malloc(connection->end);
            if (connection->rest == NULL) return end(connection);
            memcpy(connection->rest, buffer + sent, connection->end);
            return;
        }
        if (received < (ssize_t)sizeof buffer && short_read_ends) return;
    }
}

static void accept_all(int epoll, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == ECONNABORTED) continue;
        if (fd < 0 && errno == EAGAIN) return;
        if (fd < 0) echo_fail("accept4", errno);
        struct connection *connection = calloc(1, sizeof *connection);
        if (connection == NULL) echo_fail("calloc", ENOMEM);
        connection->fd = fd;
        // EPOLLOUT costs nothing here: a socket reports an edge of it only after it was full.
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = connection};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) echo_fail("epoll_ctl", errno);
    }
}

int main(int argument_count, char **arguments) {
    int listener = echo_listen(argument_count, arguments);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        echo_fail("epoll", errno);
    echo_announce(listener, "epoll");

    struct epoll_event events[events_per_turn];
    for (;;) {
        int count = epoll_wait(epoll, events, events_per_turn, -1);
        // The only signals that it handles end the process, but a debugger may interrupt.
        if (count < 0 && errno != EINTR) echo_fail("epoll_wait", errno);
        for (int index = 0; index < count; index++) {
            if (events[index].data.ptr == NULL)
                accept_all(epoll, listener);
            else
                serve(events[index].data.ptr, events[index].events);
        }
    }
}
