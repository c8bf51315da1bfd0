// SPDX-License-Identifier: Apache-2.0
//
// The load on an echo server, with one request in flight on each connection: a closed loop, or with
// --rate an open one, whose requests become due at even distances whatever the server does. One
// thread on edge-triggered epoll, so that the load costs less than any server it measures. The
// length of every answer is verified always, its content with --check.
//
// In the open loop a request that is due while its connection awaits an answer waits as well, and
// its latency counts from when it was due: a server that stops for a while pays for every request
// that it delays, not only for those in flight.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "histogram.h"
#include "options.h"

enum {
    events_per_turn = 256,
    buffer_byte_count = 64 * 1024,
    /// Each request sends another slice of the pattern, so that an answer that belongs to another
    /// request or connection fails the check. A prime, so that slices do not repeat in step.
    pattern_shift_limit = 4093,
};

/// One connection: at most one request is in flight, from `issue` to `complete`.
struct connection {
    int fd; // -1 once the connection failed.
    bool busy;
    size_t sent, received;
    const char *request; // The slice of the pattern that is in flight.
    unsigned turn;       // Moves the slice.
    uint64_t started;    // When latency begins.
    uint64_t due_count;  // Open loop: requests that are due and not issued yet.
    uint64_t next;       // Open loop: the place in the schedule of the request that is next.
};

/// One stretch of load, the warm-up or the measured part: it ends by count or by time, and once
/// every request that it issued was answered.
struct phase {
    uint64_t request_limit; // 0: no limit.
    uint64_t end;           // A time of the monotonic clock; 0: no end.
    uint64_t start; // A time of the monotonic clock.
    uint64_t issued, completed, last_completion;
    uint64_t scheduled; // Open loop: requests that became due; `request_limit` of them will.
};

static struct options options;
static struct connection *connections;
static char *pattern;
static char buffer[buffer_byte_count];
static int epoll;
static uint64_t errors;
static struct phase phase;
static struct histogram latencies;
/// How late the load itself was: from when a request was due, on a connection that was free.
static struct histogram delays;

static void fail(struct connection *connection, const char *what, int error) {
    if (errors++ < 5)
        fprintf(stderr, "connection %td: %s%s%s\n", connection - connections, what,
                error ? ": " : "", error ? strerror(error) : "");
    close(connection->fd);
    connection->fd = -1;
    if (connection->busy) phase.issued--; // No answer is owed any more.
    connection->busy = false;
    connection->due_count = 0;
}

static void send_rest(struct connection *connection) {
    while (connection->busy && connection->sent < options.byte_count) {
        ssize_t count = send(connection->fd, connection->request + connection->sent,
                             options.byte_count - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) return; // An EPOLLOUT edge follows.
        if (count < 0) return fail(connection, "send", errno);
        connection->sent += (size_t)count;
    }
}

/// When the request at a place in the schedule is due.
static uint64_t due_time(uint64_t place) {
    return phase.start + (uint64_t)((double)place * ns_per_second / options.rate);
}

/// Starts the connection's next request unless the phase has had its fill or none is due.
static void issue(struct connection *connection, uint64_t now) {
    if (options.rate > 0) {
        if (connection->due_count == 0) return;
        connection->due_count--;
        connection->started = due_time(connection->next);
        connection->next += options.connection_count;
    } else {
        if (phase.request_limit && phase.issued >= phase.request_limit) return;
        if (phase.end && now >= phase.end) return;
        connection->started = now;
    }
    phase.issued++;
    size_t shift = ((size_t)(connection - connections) * 131 + connection->turn++ * 31);
    connection->request = pattern + shift % pattern_shift_limit;
    connection->busy = true;
    connection->sent = connection->received = 0;
    send_rest(connection);
}

/// Open loop: hands the requests that became due to their connections.
static void keep_schedule(void) {
    uint64_t now = monotonic_ns();
    for (; phase.scheduled < phase.request_limit; phase.scheduled++) {
        uint64_t due = due_time(phase.scheduled);
        if (due > now) return;
        struct connection *connection = &connections[phase.scheduled % options.connection_count];
        if (connection->fd < 0) continue; // That was an error, and it was counted.
        connection->due_count++;
        if (connection->busy) continue;
        histogram_add(&delays, now - due);
        issue(connection, now);
    }
}

static void complete(struct connection *connection) {
    uint64_t now = monotonic_ns();
    histogram_add(&latencies, now - connection->started);
    connection->busy = false;
    phase.completed++;
    phase.last_completion = now;
    issue(connection, now);
}

static void receive(struct connection *connection) {
    for (;;) {
        ssize_t count = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) return fail(connection, "recv", errno);
        if (count == 0) return fail(connection, "the server closed the connection", 0);
        if (!connection->busy || connection->received + (size_t)count > connection->sent)
            return fail(connection, "the answer is longer than the request", 0);
        if (options.check &&
            memcmp(buffer, connection->request + connection->received, (size_t)count) != 0)
            return fail(connection, "the answer differs from the request", 0);
        connection->received += (size_t)count;
        if (connection->received == options.byte_count) {
            // The next answer has a new edge, and a close after this one is met at the next send.
            return complete(connection);
        }
        if (connection->sent < options.byte_count) {
            send_rest(connection);
            if (connection->fd < 0) return;
        }
    }
}

static void connect_all(void) {
    struct rlimit files = {.rlim_cur = 0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (size_t index = 0; index < options.connection_count; index++) {
        struct connection *connection = &connections[index];
        connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval limit = {.tv_sec = 5};
        int on = 1;
        // Linux bounds a blocking `connect` by the send time-out; all later calls are MSG_DONTWAIT.
        if (connection->fd < 0 ||
            setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
            setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
            connect(connection->fd, (struct sockaddr *)&options.address,
                    sizeof options.address) < 0) {
            perror("connect");
            exit(1);
        }
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = connection};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0) {
            perror("epoll_ctl");
            exit(1);
        }
    }
}

/// Sets `phase` up from the limits of the command line, of which one is 0.
static void begin(uint64_t requests, double seconds) {
    uint64_t now = monotonic_ns();
    phase = (struct phase){.request_limit = requests, .start = now, .last_completion = now};
    if (seconds > 0 && options.rate > 0)
        phase.request_limit = (uint64_t)(seconds * options.rate);
    else if (seconds > 0)
        phase.end = now + (uint64_t)(seconds * ns_per_second);
    latencies = delays = (struct histogram){.count = 0};
    for (size_t index = 0; index < options.connection_count; index++) {
        connections[index].next = index;
        if (options.rate == 0 && connections[index].fd >= 0) issue(&connections[index], now);
    }
}

/// Runs `phase` to its end. Ten seconds without an answer, or the time limit, end it as an error.
///
/// The open loop never sleeps: to be woken takes longer than the distance of two requests.
static void run(uint64_t time_limit) {
    struct epoll_event events[events_per_turn];
    bool open = options.rate > 0;
    while (phase.completed < phase.issued || (open && phase.scheduled < phase.request_limit)) {
        if (open) keep_schedule();
        int count = epoll_wait(epoll, events, events_per_turn, open ? 0 : 1000);
        for (int index = 0; index < count; index++) {
            struct connection *connection = events[index].data.ptr;
            if (connection->fd >= 0 && events[index].events & EPOLLOUT) send_rest(connection);
            if (connection->fd >= 0) receive(connection);
            if (open) keep_schedule();
        }
        if (count < events_per_turn) {
            uint64_t now = monotonic_ns();
            bool stalled = phase.completed < phase.issued &&
                           now - phase.last_completion > 10 * ns_per_second;
            if (stalled || now > time_limit) {
                fprintf(stderr, "%s with %llu requests unanswered\n",
                        stalled ? "stalled" : "out of time",
                        (unsigned long long)(phase.issued - phase.completed));
                errors++;
                return;
            }
        }
    }
    if (phase.request_limit && phase.completed < phase.request_limit) errors++;
}

/// With --gate the caller reads the server's clocks between the warm-up and the measured part.
static void wait_at_gate(const char *line) {
    if (!options.gate) return;
    puts(line);
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin)) {
    }
}

int main(int argument_count, char **arguments) {
    options = parse_options(argument_count, arguments);
    connections = calloc(options.connection_count, sizeof *connections);
    pattern = malloc(options.byte_count + pattern_shift_limit);
    if (connections == NULL || pattern == NULL) return perror("malloc"), 1;
    uint32_t seed = 1;
    for (size_t index = 0; index < options.byte_count + pattern_shift_limit; index++)
        pattern[index] = (char)((seed = seed * 1664525 + 1013904223) >> 24);

    uint64_t time_limit = monotonic_ns() + (uint64_t)(options.time_limit * ns_per_second);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connect_all();

    if (options.warmup_requests || options.warmup_seconds > 0) {
        begin(options.warmup_requests, options.warmup_seconds);
        run(time_limit);
    }
    wait_at_gate("warm");

    begin(options.requests, options.seconds);
    run(time_limit);

    double seconds = (double)(phase.last_completion - phase.start) / ns_per_second;
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"requestsPerSecond\": %.1f, "
           "\"errors\": %llu, \"p50us\": %.1f, \"p99us\": %.1f, \"p999us\": %.1f, "
           "\"maxus\": %.1f, \"loadDelay99us\": %.1f}\n",
           (unsigned long long)phase.completed, seconds,
           seconds > 0 ? (double)phase.completed / seconds : 0, (unsigned long long)errors,
           histogram_us(&latencies, 0.50), histogram_us(&latencies, 0.99),
           histogram_us(&latencies, 0.999), (double)latencies.maximum / 1e3,
           histogram_us(&delays, 0.99));
    wait_at_gate("measured");
    return errors > 0 || phase.completed == 0;
}
