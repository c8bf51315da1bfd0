// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

extension OutboundBytes {
    /// Sends a file, or a part of it, in order with all other writes; returns the number of bytes.
    ///
    /// It is what the file has when it begins, up to `count` bytes. What lies in the kernel's memory
    /// goes from there to the socket without a copy of ours (`sendfile`), the rest by reads of 128
    /// KiB; a slow peer holds no thread. It returns when the kernel has taken the last byte, and
    /// what other tasks write meanwhile goes out after the file. Time-outs are those of other writes.
    ///
    /// - Throws: `NetworkError`; `FileError`, with `.noData` when the file became shorter meanwhile;
    ///   `CancellationError`. What was sent by then is sent.
    @discardableResult
    public func write(contentsOf file: File, from offset: Int = 0, count: Int? = nil) async throws
        -> Int
    {
        guard channel.loop.isHome else {
            return try await channel.loop.bring {
                try await self.write(contentsOf: file, from: offset, count: count)
            }
        }
        guard let size = try file.knownByteCount(), offset >= 0 else {
            return try await copy(file, from: offset, count: count)
        }
        let total = min(count ?? .max, size - min(offset, size))
        guard total > Self.copiedByteCount else {
            return try await copy(file, from: offset, count: max(0, total), isThere: true)
        }
        try await channel.send(file, from: offset, count: total)
        return total
    }

    /// A file of up to so many bytes is copied, and goes out together with what stands before it.
    private static let copiedByteCount = 16_384

    private func copy(
        _ file: File,
        from offset: Int,
        count: Int?,
        isThere: Bool = false
    ) async throws -> Int {
        var sent = 0
        while true {
            let left = count.map { $0 - sent } ?? .max
            guard left > 0 else { return sent }
            let wanted = Swift.min(left, File.pieceByteCount)
            let bytes = try await file.read(at: offset + sent, count: wanted)
            try await write(bytes)
            sent += bytes.count
            guard bytes.count < wanted else { continue }
            if isThere { throw FileError(cut: file.path, at: sent, of: count ?? sent) }
            return sent
        }
    }
}

extension FileError {
    /// A file that became shorter while it was sent.
    init(cut path: FilePath, at sentCount: Int, of count: Int) {
        self.init(
            "send",
            path,
            .noData,
            advice: "it became shorter while it was sent: \(sentCount) of \(count) bytes went out"
        )
    }
}
