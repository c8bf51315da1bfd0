// SPDX-License-Identifier: Apache-2.0
//
// The loop that one writes in C: a queue of jobs, first in, first out, linked through the jobs, and
// for each job a function. It never looks at the kernel and has no cancellation, no priorities and
// no stack to suspend, so it is the lower bound of what `costs` measures, not a peer.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { batch = 1000 };

struct job {
    struct job *next;
    void (*run)(struct job *);
};

static struct job *head, **tail = &head;
static long left;

/// Out of line, as it is for whoever calls a loop that is a library.
__attribute__((noinline)) static void enqueue(struct job *job) {
    job->next = NULL;
    *tail = job;
    tail = &job->next;
}

static void turn_until_empty(void) {
    for (struct job *job; (job = head) != NULL;) {
        head = job->next;
        if (head == NULL) tail = &head;
        job->run(job);
    }
}

// A job that enqueues itself.

static void run_again(struct job *job) {
    if (--left > 0) enqueue(job);
}

static void jobs(void) {
    struct job job = {.run = run_again};
    enqueue(&job);
    turn_until_empty();
}

// Two state machines that wait for each other: each wakes the one that waits and then waits.

static struct job *waiter;

static void wake_and_wait(struct job *job) {
    struct job *other = waiter;
    waiter = job;
    if (--left > 0 && other != NULL) enqueue(other);
}

static void parks(void) {
    struct job one = {.run = wake_and_wait}, other = one;
    enqueue(&one);
    enqueue(&other);
    turn_until_empty();
}

// Jobs in batches, each in memory of its own; the last of a batch begins the next.

static int running;

static void begin_batch(void);

static void arrive(struct job *job) {
    free(job);
    if (--running == 0 && (left -= batch) > 0) begin_batch();
}

static void begin_batch(void) {
    for (running = 0; running < batch; running++) {
        struct job *job = malloc(sizeof *job);
        if (job == NULL) abort();
        job->run = arrive;
        enqueue(job);
    }
}

static void spawns(void) {
    begin_batch();
    turn_until_empty();
}

static const struct operation {
    const char *name;
    void (*measure)(void);
} operations[] = {
    {"job", jobs}, {"hop", jobs}, {"park", parks}, {"task", spawns}, {"child", spawns},
};

static double cpu_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argument_count, char **arguments) {
    for (size_t i = 0; argument_count == 3 && i < sizeof operations / sizeof *operations; i++) {
        if (strcmp(arguments[1], operations[i].name) != 0) continue;
        long count = left = atol(arguments[2]);
        if (count <= 0 || count % batch != 0) break;
        double start = cpu_nanoseconds();
        operations[i].measure();
        printf("%s %ld %.0f\n", arguments[1], count, cpu_nanoseconds() - start);
        return 0;
    }
    fprintf(stderr, "usage: %s job|hop|park|task|child COUNT (a multiple of %d)\n", arguments[0],
            batch);
    return 2;
}
