// SPDX-License-Identifier: Apache-2.0

/// What a worker and its pool say to each other.
///
/// On the wire: four bytes, the count of what follows, the highest first; a byte for the kind; the
/// payload. This file imports nothing and is compiled into the fuzzer as well.
struct WorkerFrame: Equatable {
    enum Kind: UInt8, CaseIterable {
        // The pool says:
        /// The name of a call's type, two bytes for its length before it, and the call's coding.
        case call = 1

        // The worker says:
        /// It has reached the runtime, and waits for calls.
        case hello = 16
        /// The coding of a result.
        case result = 17
        /// What the call threw, as text.
        case thrown = 18
        /// The name of a type that is no call there.
        case notFound = 19
        /// A call, or a result, has no coding there: the reason.
        case notCoded = 20
        /// The count of bytes that a result would have had.
        case tooLarge = 21
        /// An allocation has failed, and the worker ends.
        case outOfMemory = 22
    }

    var kind: Kind
    var payload: [UInt8]

    init(_ kind: Kind, _ payload: [UInt8] = []) {
        self.kind = kind
        self.payload = payload
    }

    init(_ kind: Kind, text: String) { self.init(kind, Array(text.utf8)) }

    var text: String { String(decoding: payload, as: UTF8.self) }

    /// The bytes before the kind.
    static let headByteCount = 4

    /// The frame as it goes over the socket.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headByteCount + 1 + payload.count)
        Self.append(UInt32(payload.count + 1), to: &bytes)
        bytes.append(kind.rawValue)
        bytes += payload
        return bytes
    }

    private static func append(_ count: UInt32, to bytes: inout [UInt8]) {
        for shift in [24, 16, 8, 0] as [UInt32] {
            bytes.append(UInt8(truncatingIfNeeded: count >> shift))
        }
    }
}

/// A call on its way: which type, and its coding.
struct WorkerCall: Equatable {
    var typeName: String
    var coding: [UInt8]

    init(typeName: String, coding: [UInt8]) {
        self.typeName = typeName
        self.coding = coding
    }

    /// Takes the payload of a frame apart; nil when it is no call.
    init?(_ payload: [UInt8]) {
        guard payload.count >= 2 else { return nil }
        let end = 2 + Int(payload[0]) << 8 + Int(payload[1])
        guard payload.count >= end, end > 2 else { return nil }
        guard let name = String(validating: payload[2..<end], as: UTF8.self) else { return nil }
        typeName = name
        coding = Array(payload[end...])
    }

    /// Nil when the name is longer than its length can say.
    var frame: WorkerFrame? {
        let name = Array(typeName.utf8)
        guard let length = UInt16(exactly: name.count) else { return nil }
        var payload = [UInt8(length >> 8), UInt8(truncatingIfNeeded: length)]
        payload.reserveCapacity(2 + name.count + coding.count)
        payload += name
        payload += coding
        return WorkerFrame(.call, payload)
    }
}

/// Frames out of bytes, however those were cut on their way.
///
/// What comes from a worker is a stranger's: user code in the same process may write to the
/// socket. So a count beyond the limit is an error before a byte is kept for it, and after an error
/// nothing is read any more.
struct WorkerFrameParser {
    enum Failure: Error, Equatable {
        case tooLong(byteCount: Int)
        case empty
        case unknownKind(UInt8)
    }

    let byteCountLimit: Int
    private var buffered: [UInt8] = []
    private var start = 0
    private var failure: Failure?

    /// - Parameter byteCountLimit: of a frame without its head.
    init(byteCountLimit: Int) { self.byteCountLimit = byteCountLimit }

    /// The bytes that no frame has taken yet.
    var bufferedByteCount: Int { buffered.count - start }

    /// The memory in use, what was taken included.
    var heldByteCount: Int { buffered.count }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard failure == nil else { return }
        if start == buffered.count {
            buffered.removeAll(keepingCapacity: buffered.count <= Self.keptByteCount)
            start = 0
        } else if start > Self.keptByteCount, start > buffered.count / 2 {
            buffered.removeFirst(start)
            start = 0
        }
        buffered += bytes
    }

    private static let keptByteCount = 65_536

    /// The next whole frame, or nil until more bytes have come.
    mutating func next() throws(Failure) -> WorkerFrame? {
        if let failure { throw failure }
        guard bufferedByteCount >= WorkerFrame.headByteCount else { return nil }
        var count = 0
        for index in start..<start + WorkerFrame.headByteCount {
            count = count << 8 | Int(buffered[index])
        }
        guard count <= byteCountLimit else { throw fail(.tooLong(byteCount: count)) }
        guard count > 0 else { throw fail(.empty) }
        guard bufferedByteCount > WorkerFrame.headByteCount else { return nil }
        // The kind is looked at before the rest is there: who talks nonsense is not waited for.
        let begin = start + WorkerFrame.headByteCount
        guard let kind = WorkerFrame.Kind(rawValue: buffered[begin]) else {
            throw fail(.unknownKind(buffered[begin]))
        }
        guard buffered.count >= begin + count else { return nil }
        let payload = Array(buffered[begin + 1..<begin + count])
        start = begin + count
        return WorkerFrame(kind, payload)
    }

    private mutating func fail(_ failure: Failure) -> Failure {
        self.failure = failure
        buffered = []
        start = 0
        return failure
    }
}
