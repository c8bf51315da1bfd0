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
