// SPDX-License-Identifier: Apache-2.0
#ifndef OPTIONS_H
#define OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What the command line asks for. A count or a time of 0 means that it was not given.
struct options {
    struct sockaddr_in address;
    size_t connection_count, byte_count;
    double seconds, warmup_seconds, time_limit;
    double rate; // Requests a second; 0: a closed loop.
    uint64_t requests, warmup_requests;
    bool check, gate;
};

/// Reads the command line, or ends the process with the usage.
struct options parse_options(int argument_count, char **arguments);

#endif
