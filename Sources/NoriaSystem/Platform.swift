// SPDX-License-Identifier: Apache-2.0

// The same sentence as in `noria_platform.h`, for a compiler that gets here first.
#if !os(Linux) || !canImport(Glibc)
#error("Noria runs on Linux with glibc; README.md, Platforms, says what holds elsewhere")
#endif
