// SPDX-License-Identifier: Apache-2.0
// Where things are made, for the debug mode: the calls that led there, each distinct chain kept once.
#ifndef NORIA_SITES_H
#define NORIA_SITES_H

#include "noria_platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NORIA_SITE_CALLS = 8, NORIA_SITE_LIMIT = 4095 };

/// Whether chains are kept from now on. Any thread.
void noria_sites_keep(bool is_kept);
bool noria_sites_are_kept(void);

/// The number of the chain of calls above `frame`, a frame address of the calling thread: 0 when none
/// is kept, or NORIA_SITE_LIMIT others are. Any thread.
uint32_t noria_site_above(void *frame);
/// The same for its caller.
uint32_t noria_site_here(void);
/// The return addresses of a chain, the innermost first: how many there are.
int noria_site_calls(uint32_t site, uintptr_t *calls);

/// Reads this process's memory, which may be gone: false then.
bool noria_read_memory(uintptr_t address, void *into, size_t count);

#endif
