// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: echo-load HOST PORT (--seconds S | --requests R) [option ...]\n"
    "\n"
    "Sends requests to an echo server, one in flight on each connection, and prints one line of\n"
    "JSON. The exit status is 1 when a request failed or an answer was not the request.\n"
    "\n"
    "  --connections N       connections, default 1\n"
    "  --bytes B             size of a request, default 1024\n"
    "  --seconds S           issue requests for S seconds, then await the last answers\n"
    "  --requests R          do exactly R requests, on all connections together\n"
    "  --rate N              N requests a second, due at even distances and on the connections in\n"
    "                        turn, whatever the server does; latency counts from that time\n"
    "  --warmup-seconds S    load before the measured part, not counted\n"
    "  --warmup-requests W   the same by count\n"
    "  --check               compare the content of every answer, not only its length\n"
    "  --gate                print `warm` after the warm-up and await a line on standard input;\n"
    "                        after the JSON print `measured` and await another one\n"
    "  --time-limit S        end as an error after S seconds in all, default 120\n";

static _Noreturn void end_with_usage(int status) {
    fputs(usage, status ? stderr : stdout);
    exit(status);
}

static double number(const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= 0) || value > 1e12) {
        fprintf(stderr, "echo-load: not a number in range: %s\n", text);
        exit(2);
    }
    return value;
}

struct options parse_options(int argument_count, char **arguments) {
    struct options options = {.connection_count = 1, .byte_count = 1024, .time_limit = 120};
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'n'},
        {"bytes", required_argument, NULL, 'b'},
        {"seconds", required_argument, NULL, 's'},
        {"requests", required_argument, NULL, 'r'},
        {"rate", required_argument, NULL, 'R'},
        {"warmup-seconds", required_argument, NULL, 'W'},
        {"warmup-requests", required_argument, NULL, 'w'},
        {"time-limit", required_argument, NULL, 't'},
        {"check", no_argument, NULL, 'c'},
        {"gate", no_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int name; (name = getopt_long(argument_count, arguments, "", names, NULL)) != -1;) {
        switch (name) {
        case 'n': options.connection_count = (size_t)number(optarg); break;
        case 'b': options.byte_count = (size_t)number(optarg); break;
        case 's': options.seconds = number(optarg); break;
        case 'r': options.requests = (uint64_t)number(optarg); break;
        case 'R': options.rate = number(optarg); break;
        case 'W': options.warmup_seconds = number(optarg); break;
        case 'w': options.warmup_requests = (uint64_t)number(optarg); break;
        case 't': options.time_limit = number(optarg); break;
        case 'c': options.check = true; break;
        case 'g': options.gate = true; break;
        case 'h': end_with_usage(0);
        default: end_with_usage(2);
        }
    }
    options.address.sin_family = AF_INET;
    bool by_time = options.seconds > 0, by_count = options.requests > 0;
    if (argument_count - optind != 2 || by_time == by_count ||
        inet_pton(AF_INET, arguments[optind], &options.address.sin_addr) != 1 ||
        options.connection_count == 0 || options.byte_count == 0)
        end_with_usage(2);
    options.address.sin_port = htons((uint16_t)number(arguments[optind + 1]));
    return options;
}
