// SPDX-License-Identifier: Apache-2.0
import Noria

struct Frame {
    var kind: UInt8
    var checksum = 0

    nonisolated init(from cursor: inout ByteCursor) throws {
        kind = try cursor.readInteger()
        let body = try cursor.readBytes(Int(try cursor.readInteger(UInt32.self)))
        for index in body.byteOffsets {
            checksum &+= Int(body.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
    }
}

@main struct Frames {
    static func main() {
        Runtime.main(.production.with { $0.backend = .require(.ioUring) }) { runtime in
            try runtime.requireBackend(.ioUring)
            try await TCPListener.bind(host: "0.0.0.0", port: 7010).serve { connection in
                while let frame = try await connection.inbound.readFrame({
                    try Frame(from: &$0)
                }) {
                    try await connection.outbound.write("\(frame.kind) \(frame.checksum)\n")
                }
            }
        }
    }
}

/// Changes bytes without a copy in between.
func shout(_ connection: TCPConnection) async throws {
    while try await connection.inbound.withNext({
        try connection.outbound.enqueue(uppercased($0))
    }) != nil {
        try await connection.outbound.flush()
    }
}

func uppercased(_ bytes: RawSpan) -> [UInt8] {
    bytes.byteOffsets.map { index in
        let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
        return (97...122).contains(byte) ? byte - 32 : byte
    }
}
