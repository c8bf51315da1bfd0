// SPDX-License-Identifier: Apache-2.0

/// Bytes that wait to be sent: one growing block, filled at its end and sent from its front.
///
/// It is plain memory because the kernel reads from it while Swift code runs on: the address must
/// not move until the send has ended. Only the block that is not being sent may grow.
struct OutboundBuffer: ~Copyable {
    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0
    private var offset = 0
    private var end = 0

    deinit { memory?.deallocate() }

    var count: Int { end &- offset }
    var isEmpty: Bool { end == offset }

    /// What is to be sent next.
    var unsent: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory.map { UnsafeRawPointer($0 + offset) }, count: count)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, !bytes.isEmpty else { return }
        let space = reserve(bytes.count)
        space.copyMemory(from: source, byteCount: bytes.count)
        end &+= bytes.count
    }

    private mutating func reserve(_ additional: Int) -> UnsafeMutableRawPointer {
        if let memory, capacity &- end >= additional { return memory + end }
        var larger = max(capacity, 512)
        while larger < end + additional { larger *= 2 }
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        if let memory {
            fresh.copyMemory(from: memory, byteCount: end)
            memory.deallocate()
        }
        (memory, capacity) = (fresh, larger)
        return fresh + end
    }

    /// Notes that the first `count` bytes were sent.
    mutating func drop(_ count: Int) {
        offset &+= count
        if offset == end { (offset, end) = (0, 0) }
    }

    /// Forgets everything, and gives back what has grown beyond `keeping` bytes.
    mutating func removeAll(keeping limit: Int = 0) {
        (offset, end) = (0, 0)
        guard capacity > limit else { return }
        memory?.deallocate()
        (memory, capacity) = (nil, 0)
    }
}
