// SPDX-License-Identifier: Apache-2.0
import Noria

func number() async throws -> Int { 1 }

func job(_ runtime: Runtime) async throws -> Int {
    // error: parameter expecting synchronous function type
    try await runtime.blocking.run { try await number() }
}
