// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "noria_system.h"

#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
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

void noria_futex_wait(uint32_t *word, uint32_t expected, int64_t nanoseconds) {
    struct timespec limit_of_time = duration(nanoseconds);
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nanoseconds < 0 ? 0 : &limit_of_time, 0, 0);
}

void noria_futex_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0); }

ssize_t noria_append(int fd, const void *bytes, size_t count) {
    struct iovec part = {(void *)bytes, count};
    return pwritev2(fd, &part, 1, 0, RWF_APPEND);
}

int noria_memory_file(const char *name) {
    // MFD_NOEXEC_SEAL came with Linux 6.3, which from then on complains of those without.
    int fd = memfd_create(name, MFD_CLOEXEC | 8);
    return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC) : fd;
}

int noria_holds(const void *bytes, size_t count, const void *part, size_t part_count) {
    return memmem(bytes, count, part, part_count) != NULL;
}

long noria_read_now(int fd, void *bytes, size_t count, off_t offset) {
    struct iovec part = {bytes, count};
    return noria_result(preadv2(fd, &part, 1, offset, RWF_NOWAIT));
}

long noria_known_byte_count(int fd) {
    struct statx status;
    long result =
        noria_result(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &status));
    return result < 0 ? result : (long)status.stx_size;
}

int noria_is_buffered(int fd) {
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && !(flags & O_DIRECT) && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

long noria_send_file(int fd, int file, off_t offset, size_t count) {
    // There is no MSG_NOSIGNAL here. The signal is this thread's alone, so it can be held back and,
    // if this call and no other has raised it, taken off. A call that has sent some bytes before the
    // stream broke returns their count, and has raised it all the same.
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    long result = noria_result(sendfile(fd, file, &offset, count));
    if (result < (long)count && !sigismember(&before, SIGPIPE) && sigpending(&pending) == 0
        && sigismember(&pending, SIGPIPE)) {
        struct timespec at_once = {0, 0};
        sigtimedwait(&pipe, 0, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before, 0);
    return result;
}

static uint64_t nanoseconds_of(struct timeval time) {
    return (uint64_t)time.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)time.tv_usec * 1000;
}

struct noria_thread_usage noria_usage_of_this_thread(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (struct noria_thread_usage){nanoseconds_of(usage.ru_utime) + nanoseconds_of(usage.ru_stime),
                                       (uint64_t)usage.ru_nivcsw};
}

long noria_accept(int fd) {
    return noria_result(accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

long noria_notify(const void *address, uint32_t byteCount, const char *text, size_t count, int fd) {
    int end = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (end < 0) return -errno;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec bytes = {(void *)text, count};
    struct msghdr message = {0};
    message.msg_name = (void *)address;
    message.msg_namelen = byteCount;
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.room;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    long result = noria_result(sendmsg(end, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    close(end);
    return result;
}

static long socket_option(int fd, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    long result = noria_result(getsockopt(fd, SOL_SOCKET, name, &value, &size));
    return result < 0 ? result : value;
}

long noria_listening_family(int fd) {
    long kind = socket_option(fd, SO_TYPE);
    if (kind < 0) return kind;
    if (kind != SOCK_STREAM) return -EPROTOTYPE;
    if (socket_option(fd, SO_ACCEPTCONN) != 1) return -EINVAL;
    return socket_option(fd, SO_DOMAIN);
}

long noria_peer_credentials(int fd, struct noria_credentials *credentials) {
    struct ucred peer = {0, 0, 0};
    socklen_t size = sizeof peer;
    long result = noria_result(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
    *credentials = (struct noria_credentials){peer.pid, peer.uid, peer.gid};
    return result;
}

long noria_refuse_io_uring(int error) {
    struct sock_filter program[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 425},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    // Without this a process that is not root may not install a filter.
    long result = noria_result(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if (result < 0) return result;
    return noria_result(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
}

int noria_thread_id(void) { return (int)syscall(SYS_gettid); }

void noria_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

long noria_affinity_count(void) {
    // The kernel refuses a mask that is shorter than its own: this one is for 65,536 processors.
    unsigned long mask[1024];
    long size = noria_result(syscall(SYS_sched_getaffinity, getpid(), sizeof mask, mask));
    if (size < 0) return size;
    long count = 0;
    for (long word = 0; word < size / (long)sizeof *mask; word++)
        count += __builtin_popcountl(mask[word]);
    return count;
}

const char *noria_error_name(int error) { return strerrorname_np(error); }

static _Atomic uint64_t fork_descriptor_limit;

// Runs in the child alone, between `fork` and whatever it does: two plain system calls.
static void restore_descriptor_limit(void) {
    uint64_t soft = atomic_load_explicit(&fork_descriptor_limit, memory_order_relaxed);
    struct rlimit limit;
    if (soft == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = soft;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void register_fork_handler(void) { pthread_atfork(0, 0, restore_descriptor_limit); }

void noria_set_fork_descriptor_limit(uint64_t soft) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
    atomic_store_explicit(&fork_descriptor_limit, soft, memory_order_relaxed);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IS_THREAD_SANITIZED true
#endif
#endif
#ifndef IS_THREAD_SANITIZED
#define IS_THREAD_SANITIZED false
#endif

bool noria_is_thread_sanitized(void) { return IS_THREAD_SANITIZED; }

void noria_deliver_deferred_signals(void) {
    if (!IS_THREAD_SANITIZED) return;
    static pthread_mutex_t any = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&any);
    pthread_mutex_unlock(&any);
}
