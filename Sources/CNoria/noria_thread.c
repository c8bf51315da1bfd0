// SPDX-License-Identifier: Apache-2.0
#include "noria_thread.h"

__thread void *noria_loop_of_this_thread __attribute__((tls_model("initial-exec")));
