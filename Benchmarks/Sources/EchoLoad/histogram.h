// SPDX-License-Identifier: Apache-2.0
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <time.h>

#define ns_per_second 1000000000ull

static inline uint64_t monotonic_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * ns_per_second + (uint64_t)time.tv_nsec;
}

/// Counts durations in buckets of 1/32 of their power of two: an error under 3.2 % in 2,048
/// counters whatever the duration. The maximum is exact.
struct histogram {
    uint64_t count, maximum;
    uint64_t buckets[64 * 32];
};

static inline void histogram_add(struct histogram *histogram, uint64_t ns) {
    int shift = ns < 64 ? 0 : 58 - __builtin_clzll(ns);
    histogram->buckets[shift * 32 + (ns >> shift)]++;
    histogram->count++;
    if (ns > histogram->maximum) histogram->maximum = ns;
}

/// The duration in microseconds that `quantile` of all durations do not exceed.
double histogram_us(const struct histogram *histogram, double quantile);

#endif
