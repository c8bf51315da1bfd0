// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "EchoListener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void echo_fail(const char *call, int error) {
    fprintf(stderr, "%s: %s\n", call, strerror(error));
    exit(1);
}

/// `_exit` is safe in a signal handler, and a handler that ends the process leaves no window
/// between looking at a flag and falling asleep in the kernel.
static void end(int signal) {
    (void)signal;
    _exit(0);
}

int echo_listen(int argument_count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (argument_count != 3 || inet_pton(AF_INET, arguments[1], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: %s HOST PORT (HOST is an IPv4 address, PORT 0 a free port)\n",
                arguments[0]);
        exit(2);
    }
    address.sin_port = htons((uint16_t)atoi(arguments[2]));

    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) echo_fail("socket", errno);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        echo_fail("setsockopt TCP_NODELAY", errno);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) echo_fail("bind", errno);
    if (listen(listener, 4096) < 0) echo_fail("listen", errno);
    return listener;
}

void echo_announce(int listener, const char *backend) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    char host[INET_ADDRSTRLEN];
    if (getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        echo_fail("getsockname", errno);
    inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
    printf("listening on %s:%d backend=%s loops=1\n", host, ntohs(address.sin_port), backend);
    fflush(stdout);
}
