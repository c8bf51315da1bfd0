# SPDX-License-Identifier: Apache-2.0
"""What the measuring programs of this folder share."""
