// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The one interface that exists here, and its index.
#define NETWORK_NAMES_INTERFACE "lo"
#define NETWORK_NAMES_INTERFACE_INDEX 1
