// SPDX-License-Identifier: Apache-2.0
import Noria

func answer(_ connection: TCPConnection, _ line: String?) async throws {
    // error: cannot convert value of type 'Int' to expected argument type 'RawSpan'
    try await connection.outbound.write(42)
    // error: value of optional type 'String?' must be unwrapped to a value of type 'String'
    try await connection.outbound.write(line)
}
