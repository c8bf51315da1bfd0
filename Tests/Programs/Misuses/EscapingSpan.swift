// SPDX-License-Identifier: Apache-2.0
import Noria

func first(_ connection: TCPConnection) async throws {
    // warning: expression of type 'RawSpan' is unused
    // warning: constant 'span' inferred to have type '()?', which may be unexpected
    let span = try await connection.inbound.withNext { bytes in bytes }
    // error: value of tuple type '()' has no member 'byteCount'
    print(span?.byteCount ?? 0)
}
