// SPDX-License-Identifier: Apache-2.0
#include "histogram.h"

double histogram_us(const struct histogram *histogram, double quantile) {
    uint64_t wanted = (uint64_t)((double)histogram->count * quantile), seen = 0;
    for (int index = 0; index < 64 * 32; index++) {
        seen += histogram->buckets[index];
        if (seen > wanted) {
            int shift = index < 64 ? 0 : index / 32 - 1;
            return (double)((uint64_t)(index - shift * 32) << shift) / 1e3;
        }
    }
    return (double)histogram->maximum / 1e3;
}
