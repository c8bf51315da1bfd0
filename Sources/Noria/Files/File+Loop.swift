// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// Files without a thread of the pool: what lies in the kernel's memory is read on the loop itself,
/// and the rest by its ring, if it has one that takes files.
extension File {
    /// What is read, written or sent at once, so that other tasks have their turn: as much as a
    /// receive brings, and as the kernel reads ahead of a file.
    static let pieceByteCount = 131_072

    /// The loop that the calling task runs on and stays on, for a file that can be used there.
    var loopAtHome: EventLoop? {
        guard handle.isBuffered, let loop = EventLoop.current, loop.isHome else { return nil }
        return loop
    }

    /// The same, if its ring takes files.
    var loopWithRing: EventLoop? {
        guard let loop = loopAtHome, loop.engine.backend.takesFiles else { return nil }
        return loop
    }

    /// Loop thread only.
    func read(at offset: Int, count: Int, on loop: EventLoop) async throws -> [UInt8] {
        await loop.standBackWhenSpent()
        if Task.isCancelled { throw CancellationError() }
        var (bytes, isAtEnd) = try readNow(at: offset, count: min(count, Self.pieceByteCount))
        loop.countOperation()
        if bytes.count == Self.pieceByteCount, bytes.count < count,
            let size = try knownByteCount()
        {
            bytes.reserveCapacity(max(0, min(count, size - min(offset, size))))
        }
        while bytes.count < count, !isAtEnd {
            let (position, left) = (offset + bytes.count, count - bytes.count)
            if bytes.count >= Self.pieceByteCount {
                await loop.standBack()
                let more = try readNow(at: position, count: min(left, Self.pieceByteCount))
                bytes += more.bytes
                isAtEnd = more.isAtEnd
                if !more.bytes.isEmpty { continue }
            }
            if isAtEnd { break }
            guard loop.engine.backend.takesFiles else {
                bytes += try await readOnPool(at: position, count: left)
                break
            }
            let readCount = try await readThroughRing(at: position, left, into: &bytes, loop)
            isAtEnd = readCount == 0
        }
        return bytes
    }

    /// What lies in the kernel's memory, and whether it is known that the file ends there.
    private func readNow(at offset: Int, count: Int) throws -> (bytes: [UInt8], isAtEnd: Bool) {
        try Self.call("read from", path) { () throws(Errno) in
            try handle.withDescriptor { fd throws(Errno) in
                let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filledCount in
                    // SAFETY: the call writes to the buffer alone, and says how far.
                    guard let start = buffer.baseAddress else { return }
                    let result = Files.readNow(fd, into: start, count: count, at: offset)
                    filledCount = max(0, result)
                }
                guard !bytes.isEmpty, bytes.count < count else { return (bytes, false) }
                let size = Files.knownByteCount(fd)
                return (bytes, size.map { offset + bytes.count >= $0 } ?? false)
            }
        }
    }

    /// The length of a regular file as this machine knows it; nil for what knows none.
    func knownByteCount() throws -> Int? {
        guard handle.isBuffered else { return nil }
        return try Self.call("ask about", path) { () throws(Errno) in
            try handle.withDescriptor { fd throws(Errno) in Files.knownByteCount(fd) }
        }
    }

    private func readThroughRing(
        at offset: Int,
        _ count: Int,
        into bytes: inout [UInt8],
        _ loop: EventLoop
    ) async throws -> Int {
        let wanted = min(count, Self.pieceByteCount)
        return try await perform("read from") {
            let operation = try FileOperation(handle, on: loop, offset: offset, byteCount: wanted)
            let readCount = try await operation.perform(.read)
            bytes += operation.bytes(readCount)
            return readCount
        }
    }

    /// Loop thread only.
    func write(_ bytes: [UInt8], at offset: Int, through loop: EventLoop) async throws {
        var done = 0
        while done < bytes.count {
            let end = min(bytes.count, done + Self.pieceByteCount * 8)
            done += try await write(bytes[done..<end], at: offset + done, through: loop)
        }
    }

    /// Loop thread only.
    func append(_ bytes: [UInt8], through loop: EventLoop) async throws {
        var done = 0
        // All at once, so that they stand together.
        while done < bytes.count {
            done += try await write(bytes[done...], at: nil, through: loop)
        }
    }

    private func write(
        _ bytes: ArraySlice<UInt8>,
        at offset: Int?,
        through loop: EventLoop
    ) async throws -> Int {
        try await perform(offset == nil ? "append to" : "write to") {
            let operation = try FileOperation(
                handle,
                on: loop,
                offset: offset,
                byteCount: min(bytes.count, Int(Int32.max) & ~0xfff)
            )
            bytes.withUnsafeBytes { operation.fill(with: $0) }
            return try await operation.perform(.write)
        }
    }

    /// Runs an operation; an error of the kernel's becomes one that names the file.
    func perform<Value>(_ operation: String, _ body: () async throws -> Value) async throws -> Value
    {
        do { return try await body() } catch let error as Errno {
            throw FileError(operation, path, error)
        }
    }
}
