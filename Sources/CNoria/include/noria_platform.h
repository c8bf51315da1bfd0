// SPDX-License-Identifier: Apache-2.0
// Which systems the package is for: each header includes this one before all else, so that a build
// for another ends here, with one sentence instead of what is missing there.
#ifndef NORIA_PLATFORM_H
#define NORIA_PLATFORM_H

#ifdef __linux__
#include <features.h>
#endif

#if !defined(__linux__) || !defined(__GLIBC__)
// A warning that is fatal: an error would be followed by one for each header of Linux.
#pragma clang diagnostic fatal "-W#warnings"
#warning "Noria runs on Linux with glibc; README.md, Platforms, says what holds elsewhere"
#endif

#endif
