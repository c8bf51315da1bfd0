// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "noria_system.h"

#include <pthread.h>
#include <string.h>
#include <stdatomic.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

#define NANOSECONDS_PER_SECOND 1000000000

static struct timespec duration(int64_t nanoseconds) {
    return (struct timespec){nanoseconds / NANOSECONDS_PER_SECOND,
                             nanoseconds % NANOSECONDS_PER_SECOND};
}

static int milliseconds_rounded_up(int64_t nanoseconds) {
    if (nanoseconds < 0) return -1;
    int64_t milliseconds = nanoseconds / 1000000 + (nanoseconds % 1000000 != 0);
    return milliseconds > 2147483647 ? 2147483647 : (int)milliseconds;
}

long noria_epoll_wait(int fd, struct epoll_event *events, int limit, int64_t nanoseconds) {
    static atomic_bool lacks_pwait2;
    if (!atomic_load_explicit(&lacks_pwait2, memory_order_relaxed)) {
        struct timespec limit_of_time = duration(nanoseconds);
        long result = noria_result(syscall(SYS_epoll_pwait2, fd, events, limit,
                                           nanoseconds < 0 ? 0 : &limit_of_time, 0, 8));
        if (result != -ENOSYS) return result;
        atomic_store_explicit(&lacks_pwait2, 1, memory_order_relaxed);
    }
    return noria_result(epoll_wait(fd, events, limit, milliseconds_rounded_up(nanoseconds)));
}

long noria_poll(struct pollfd *descriptors, unsigned long count, int64_t nanoseconds) {
    struct timespec limit_of_time = duration(nanoseconds);
    return noria_result(ppoll(descriptors, count, nanoseconds < 0 ? 0 : &limit_of_time, 0));
}

long noria_accept(int fd) {
    return noria_result(accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int noria_thread_id(void) { return (int)syscall(SYS_gettid); }

const char *noria_error_name(int error) { return strerrorname_np(error); }

void noria_deliver_deferred_signals(void) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
    static pthread_mutex_t any = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&any);
    pthread_mutex_unlock(&any);
#endif
#endif
}
