// SPDX-License-Identifier: Apache-2.0
// System calls in the kernel's own manner: the result, or the error's number made negative.
//
// They are inline so that Swift's optimiser sees through them, and return the error because
// reading `errno` from Swift costs a call.
#ifndef NORIA_SYSTEM_H
#define NORIA_SYSTEM_H

#include "noria_platform.h"

#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/// Monotonic nanoseconds: CLOCK_MONOTONIC, the clock of Swift's `SuspendingClock`.
static inline uint64_t noria_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline long noria_result(long result) { return result < 0 ? -(long)errno : result; }

static inline long noria_recv(int fd, void *bytes, size_t count, int flags) {
    return noria_result(recv(fd, bytes, count, flags));
}

/// Sends without ever raising SIGPIPE.
static inline long noria_send(int fd, const void *bytes, size_t count) {
    return noria_result(send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/// The same of several pieces of memory: what a msghdr names.
static inline long noria_send_message(int fd, const struct msghdr *message) {
    return noria_result(sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/// Sleeps while `*word` is `expected`, that long at most; negative is for ever. It may also end early.
void noria_futex_wait(uint32_t *word, uint32_t expected, int64_t nanoseconds);
/// Ends the sleep of one thread.
void noria_futex_wake(uint32_t *word);

/// write(2) at the end of the file, wherever that is by then; -1 with errno.
ssize_t noria_append(int fd, const void *bytes, size_t count);

/// A file in memory alone, which an exec closes; /proc shows it by its name. -1 and errno.
int noria_memory_file(const char *name);

/// Whether a part stands in the bytes.
int noria_holds(const void *bytes, size_t count, const void *part, size_t part_count);

/// pread(2) of what needs no wait: the count, or a negative error, of which -EAGAIN is that it would
/// wait and -EOPNOTSUPP that the file system can't tell.
long noria_read_now(int fd, void *bytes, size_t count, off_t offset);
/// The length of a file as this machine knows it, without asking a server, or a negative error.
long noria_known_byte_count(int fd);
/// Whether it is a regular file that was opened without O_DIRECT.
int noria_is_buffered(int fd);
/// sendfile(2) without ever raising SIGPIPE: the count, or a negative error.
long noria_send_file(int fd, int file, off_t offset, size_t count);

struct noria_thread_usage {
    uint64_t processor_nanoseconds;
    uint64_t involuntary_switches;
};
/// What the calling thread has used so far.
struct noria_thread_usage noria_usage_of_this_thread(void);

/// A non-blocking, close-on-exec connection from a listener's queue.
long noria_accept(int fd);

static inline long noria_connect(int fd, const void *address, uint32_t byteCount) {
    return noria_result(connect(fd, (const struct sockaddr *)address, byteCount));
}

/// The bytes that wait in the socket's receive queue, or a negative error.
static inline long noria_readable_byte_count(int fd) {
    int count = 0;
    long result = noria_result(ioctl(fd, FIONREAD, &count));
    return result < 0 ? result : count;
}

/// The error that waits in the socket, as a positive number, taken by asking.
static inline int noria_take_socket_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

struct noria_credentials {
    int32_t process;
    uint32_t user;
    uint32_t group;
};

/// Sends one datagram to a Unix socket, with a descriptor unless that is negative; it never waits.
long noria_notify(const void *address, uint32_t byteCount, const char *text, size_t count, int fd);

/// Whether `fd` is a stream socket that listens: its family, or a negative error.
long noria_listening_family(int fd);

/// Who is at the other end of a Unix socket (SO_PEERCRED).
long noria_peer_credentials(int fd, struct noria_credentials *credentials);

/// Waits for `nanoseconds` (negative: without end), with whole milliseconds where the kernel is
/// older than 5.11 or the process runs under valgrind; rounded up, so never early.
long noria_epoll_wait(int fd, struct epoll_event *events, int limit, int64_t nanoseconds);
long noria_poll(struct pollfd *descriptors, unsigned long count, int64_t nanoseconds);

/// Has the kernel answer io_uring_setup with `error` in this process and its children from now on,
/// as a container's seccomp profile does: 0, or a negative error.
long noria_refuse_io_uring(int error);

/// The number of this thread, as in /proc.
int noria_thread_id(void);
/// Names the calling thread, by the first 15 bytes.
void noria_name_thread(const char *name);
/// The processors that this process's first thread may run on, or a negative error.
long noria_affinity_count(void);
/// The symbolic name of an error, `ECONNREFUSED`, or null.
const char *noria_error_name(int error);

/// Has the child of each later `fork` begin with this soft limit of descriptors; 0: with its
/// parent's.
void noria_set_fork_descriptor_limit(uint64_t soft);

/// Ends a TCP connection with a reset that goes out now, although the descriptor stays open: 0, or
/// a negative error, as for a socket that is no TCP one.
static inline long noria_reset_connection(int fd) {
    // connect(2): AF_UNSPEC dissolves the association.
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    return noria_result(connect(fd, &nobody, sizeof nobody));
}

/// Runs the signal handlers that the thread sanitizer holds back until the next call that it
/// intercepts: a raw wait that ended with EINTR is none. Nothing in other builds.
void noria_deliver_deferred_signals(void);
bool noria_is_thread_sanitized(void);

/// Drops every new SYN that reaches this listener, lets the last ACK of a handshake through.
static inline long noria_refuse_new_connections(int fd) {
    // The filter sees the TCP header. Byte 13 holds the flags; SYN without ACK is 0x02 of 0x12.
    struct sock_filter program[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 13},
        {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x12},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x02},
        {BPF_RET | BPF_K, 0, 0, 0},
        {BPF_RET | BPF_K, 0, 0, 0xffffffff},
    };
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    return noria_result(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
}

#endif
