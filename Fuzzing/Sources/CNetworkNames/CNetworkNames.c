// SPDX-License-Identifier: Apache-2.0
// The C library's questions about names, answered here: what the executable defines goes before
// the library. So a question to a name server ends the process, which is the property, and a
// fuzzer that runs as root does not make the kernel load modules under the names that it invents,
// which is what SIOCGIFINDEX does for an unknown interface.
#include "CNetworkNames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKS_A_NAME_SERVER(function)                                                               \
    void *function(void) {                                                                         \
        fputs("a name server was asked: " #function "\n", stderr);                                 \
        abort();                                                                                   \
    }

ASKS_A_NAME_SERVER(getaddrinfo)
ASKS_A_NAME_SERVER(getaddrinfo_a)
ASKS_A_NAME_SERVER(gethostbyname)
ASKS_A_NAME_SERVER(gethostbyname_r)
ASKS_A_NAME_SERVER(gethostbyname2)
ASKS_A_NAME_SERVER(gethostbyname2_r)
ASKS_A_NAME_SERVER(res_query)
ASKS_A_NAME_SERVER(res_search)

// As the kernel does (dev_ioctl in net/core/dev_ioctl.c), it looks only at what stands before a
// colon: "lo:x" is an old way to write an alias.
unsigned if_nametoindex(const char *name) {
    size_t length = strcspn(name, ":");
    int is_known = length == strlen(NETWORK_NAMES_INTERFACE)
        && memcmp(name, NETWORK_NAMES_INTERFACE, length) == 0;
    return is_known ? NETWORK_NAMES_INTERFACE_INDEX : 0;
}
