// SPDX-License-Identifier: Apache-2.0
import Noria

func login(_ connection: TCPConnection) async throws -> String? {
    // error: cannot convert value of type 'Int' to expected argument type 'Duration'
    try await withTimeout(5) { try await connection.inbound.readLine() }
}

func limits() -> StreamLimits {
    // error: cannot convert value of type 'Int' to expected argument type 'Duration'
    StreamLimits(idleTimeout: 60)
}
