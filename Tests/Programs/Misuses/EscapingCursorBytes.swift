// SPDX-License-Identifier: Apache-2.0
import Noria

func frame(_ connection: TCPConnection) async throws {
    // warning: result of call to 'readBytes' is unused
    // warning: constant 'bytes' inferred to have type '()?', which may be unexpected
    let bytes = try await connection.inbound.readFrame { try $0.readBytes(4) }
    // error: value of tuple type '()' has no member 'byteCount'
    print(bytes?.byteCount ?? 0)
}
