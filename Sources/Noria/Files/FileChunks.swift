// SPDX-License-Identifier: Apache-2.0

/// A file in pieces, from its begin to its end.
public struct FileChunks: AsyncSequence, Sendable {
    /// A piece.
    public typealias Element = [UInt8]
    /// `FileError`, or `CancellationError`.
    public typealias Failure = any Error

    let file: File
    let byteCount: Int

    /// Begins at the file's begin.
    public func makeAsyncIterator() -> Iterator { Iterator(file: file, byteCount: byteCount) }

    /// Where one reader is.
    public struct Iterator: AsyncIteratorProtocol {
        let file: File
        let byteCount: Int
        private var offset = 0
        private var isAtEnd = false

        init(file: File, byteCount: Int) {
            self.file = file
            self.byteCount = byteCount
        }

        /// The next piece, or nil at the end.
        ///
        /// - Throws: `FileError`, `CancellationError`.
        public mutating func next() async throws -> [UInt8]? {
            guard !isAtEnd else { return nil }
            let bytes = try await file.read(at: offset, count: byteCount)
            offset += bytes.count
            isAtEnd = bytes.count < byteCount
            return bytes.isEmpty ? nil : bytes
        }
    }
}

extension OutboundBytes {
    /// Sends a file, or a part of it, in order with all other writes; returns the number of bytes.
    ///
    /// It is read ahead of what the peer takes by one piece of 128 KiB, so a slow peer holds that
    /// much memory and no thread.
    ///
    /// - Throws: `NetworkError`, `FileError`, `CancellationError`; what was sent by then is sent.
    @discardableResult
    public func write(contentsOf file: File, from offset: Int = 0, count: Int? = nil) async throws
        -> Int
    {
        var sent = 0
        while true {
            let left = count.map { $0 - sent } ?? .max
            guard left > 0 else { return sent }
            let wanted = Swift.min(left, 131_072)
            let bytes = try await file.read(at: offset + sent, count: wanted)
            try await write(bytes)
            sent += bytes.count
            if bytes.count < wanted { return sent }
        }
    }
}
