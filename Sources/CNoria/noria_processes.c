// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "noria_processes.h"

#include "noria_system.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef P_PIDFD
#define NORIA_P_PIDFD 3
#else
#define NORIA_P_PIDFD P_PIDFD
#endif

static void pass_signals(posix_spawnattr_t *attributes) {
    sigset_t set;
    // Until the worker has its handlers, a Ctrl-C that reaches the whole group waits.
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    posix_spawnattr_setsigmask(attributes, &set);
    sigfillset(&set);
    posix_spawnattr_setsigdefault(attributes, &set);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const char *path, char *const *arguments, char *const *environment, int socket,
                 int errors, pid_t *process) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, errors, 1);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, errors, 2);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, socket, NORIA_WORKER_SOCKET);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
#if __GLIBC_PREREQ(2, 34)
    // What the program opened without close-on-exec is not the worker's, either.
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, NORIA_WORKER_SOCKET + 1);
#endif
    if (!error) {
        posix_spawnattr_t attributes;
        error = posix_spawnattr_init(&attributes);
        if (!error) {
            pass_signals(&attributes);
            error = posix_spawn(process, path, &actions, &attributes, arguments, environment);
            posix_spawnattr_destroy(&attributes);
        }
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

long noria_spawn_worker(const char *path, char *const *arguments, char *const *environment,
                        int socket, int errors, noria_child *child) {
    // Copies above the four that the child has, so that no dup2 there falls on another's source.
    int high_socket = fcntl(socket, F_DUPFD_CLOEXEC, NORIA_WORKER_SOCKET + 1);
    if (high_socket < 0) return -(long)errno;
    int high_errors = fcntl(errors, F_DUPFD_CLOEXEC, NORIA_WORKER_SOCKET + 1);
    int error = high_errors < 0 ? errno : 0;
    pid_t process = -1;
    if (!error) error = spawn(path, arguments, environment, high_socket, high_errors, &process);
    close(high_socket);
    if (high_errors >= 0) close(high_errors);
    if (error) return -(long)error;
    long descriptor = noria_result(syscall(SYS_pidfd_open, process, 0));
    if (descriptor < 0) {
        // Nobody has waited for it yet, so the number is still its own.
        kill(process, SIGKILL);
        waitpid(process, NULL, 0);
        return descriptor;
    }
    child->process = process;
    child->descriptor = (int32_t)descriptor;
    return 0;
}

long noria_signal_child(int descriptor, int number) {
    return noria_result(syscall(SYS_pidfd_send_signal, descriptor, number, NULL, 0));
}

long noria_reap_child(int descriptor, int waits, noria_child_end *end) {
    siginfo_t info;
    long result;
    do {
        memset(&info, 0, sizeof info);
        result = noria_result(
            waitid((idtype_t)NORIA_P_PIDFD, (id_t)descriptor, &info, WEXITED | (waits ? 0 : WNOHANG)));
    } while (result == -EINTR);
    *end = (noria_child_end){0, 0, 0};
    if (result == -ECHILD) {
        // The program ignores SIGCHLD, or waits for whatever ends.
        end->is_unknown = 1;
        return 1;
    }
    if (result < 0) return result;
    if (info.si_pid == 0) return 0;
    end->number = info.si_status;
    end->is_signal = info.si_code != CLD_EXITED;
    return 1;
}

long noria_limit_memory(int process, uint64_t byte_count) {
    struct rlimit limit = {byte_count, byte_count};
    return noria_result(prlimit(process, RLIMIT_DATA, &limit, NULL));
}

long noria_pipe(int ends[2]) {
    long result = noria_result(pipe2(ends, O_CLOEXEC));
    if (result >= 0) fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return result;
}

const char *noria_signal_name(int number) {
#if __GLIBC_PREREQ(2, 32)
    return sigabbrev_np(number);
#else
    return NULL;
#endif
}

long noria_socket_maker(int fd) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -(long)errno;
    return credentials.pid;
}

void noria_flush_lines(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

void noria_close_on_exec(int fd) { fcntl(fd, F_SETFD, FD_CLOEXEC); }

static void do_nothing(int number) { (void)number; }

void noria_worker_signals(void) {
    // A handler and not SIG_IGN: exec resets the one, and keeps the other.
    struct sigaction action = {0};
    action.sa_handler = do_nothing;
    action.sa_flags = SA_RESTART;
    sigset_t set;
    sigemptyset(&set);
    int numbers[] = {SIGINT, SIGTERM};
    for (size_t index = 0; index < sizeof numbers / sizeof numbers[0]; index += 1) {
        sigaction(numbers[index], &action, NULL);
        sigaddset(&set, numbers[index]);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static const int deadly[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS};
enum { DEADLY_COUNT = sizeof deadly / sizeof deadly[0] };
static struct sigaction before[DEADLY_COUNT];
static int last_words_fd = -1;
static const void *last_words;
static size_t last_words_count;

static void say_last_words(int number) {
    // A failed allocation leaves ENOMEM, and whoever can't go on without one traps next.
    if (errno == ENOMEM)
        send(last_words_fd, last_words, last_words_count, MSG_DONTWAIT | MSG_NOSIGNAL);
    // Returning runs into the same fault again, this time with what stood here before.
    for (size_t index = 0; index < DEADLY_COUNT; index += 1) {
        if (deadly[index] == number) sigaction(number, &before[index], NULL);
    }
    if (number == SIGABRT) raise(number);
}

void noria_tell_of_exhausted_memory(int fd, const void *bytes, uint64_t count) {
    last_words_fd = fd;
    last_words = bytes;
    last_words_count = (size_t)count;
    struct sigaction action = {0};
    action.sa_handler = say_last_words;
    action.sa_flags = SA_ONSTACK;
    for (size_t index = 0; index < DEADLY_COUNT; index += 1)
        sigaction(deadly[index], &action, &before[index]);
}

void noria_wait_for_hangup(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLRDHUP};
    for (;;) {
        if (poll(&entry, 1, -1) > 0) return;
        if (errno != EINTR) return;
    }
}
