// SPDX-License-Identifier: Apache-2.0
#ifndef ECHO_LISTENER_H
#define ECHO_LISTENER_H

/// Opens the listening socket that `HOST PORT` on the command line name, non-blocking and with
/// TCP_NODELAY, which Linux hands on to every accepted socket. Also makes SIGTERM and SIGINT end
/// the process with status 0. Ends the process with a message when anything fails.
int echo_listen(int argument_count, char **arguments);

/// Prints the line that tells the caller that the server is ready and on which port.
void echo_announce(int listener, const char *backend);

/// Ends the process with status 1, naming the call that failed and `error`, a positive errno.
void echo_fail(const char *call, int error) __attribute__((noreturn));

#endif
