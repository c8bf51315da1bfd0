// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
/// Follows an HTTP/2 connection's frames so far that it knows where a request's head begins and
/// ends: RFC 9113, sections 3.4, 4.1 and 6.10.
///
/// It judges nothing: what is wrong in the bytes, the protocol's own handlers find.
struct FrameReader {
    /// A head has begun that has not ended, or a frame whose kind is not known yet.
    private(set) var isWithinHead = true {
        didSet { if isWithinHead, !oldValue { beginCount += 1 } }
    }
    /// How often that began.
    private(set) var beginCount = 0
    /// Heads that are whole.
    private(set) var headCount = 0

    /// Of the preface that a client begins with.
    private var prefaceLeft = 24
    private var header: [UInt8] = []
    private var payloadLeft = 0
    /// What the payload belongs to is a head, and the last part of it.
    private var (isHead, isLastOfHead) = (false, false)
    /// A head goes on in the next frame.
    private var isContinued = false

    init() { header.reserveCapacity(Self.headerByteCount) }

    private static let headerByteCount = 9
    private static let (headers, continuation, endHeaders): (UInt8, UInt8, UInt8) = (1, 9, 4)

    mutating func read(_ bytes: some RandomAccessCollection<UInt8>) {
        var bytes = bytes[...]
        let preface = min(prefaceLeft, bytes.count)
        prefaceLeft -= preface
        bytes = bytes.dropFirst(preface)
        while !bytes.isEmpty {
            if payloadLeft > 0 {
                let count = min(payloadLeft, bytes.count)
                payloadLeft -= count
                bytes = bytes.dropFirst(count)
            } else {
                let count = min(Self.headerByteCount - header.count, bytes.count)
                header += bytes.prefix(count)
                bytes = bytes.dropFirst(count)
                isWithinHead = true
                guard header.count == Self.headerByteCount else { return }
                beginFrame()
            }
            if payloadLeft == 0 { endFrame() }
        }
    }

    private mutating func beginFrame() {
        payloadLeft = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
        let kind = header[3]
        isHead = kind == Self.headers || kind == Self.continuation
        isLastOfHead = isHead && header[4] & Self.endHeaders != 0
        isWithinHead = isHead || isContinued || headCount == 0
        header.removeAll(keepingCapacity: true)
    }

    private mutating func endFrame() {
        guard isHead else { return }
        isContinued = !isLastOfHead
        isWithinHead = isContinued
        if isLastOfHead { headCount += 1 }
    }
}
#endif
