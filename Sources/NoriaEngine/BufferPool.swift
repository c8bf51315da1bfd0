// SPDX-License-Identifier: Apache-2.0

/// The receive buffers of one engine: one block of memory, cut into equal parts.
///
/// An idle connection holds none. The free ones are a stack, so that the one used last, which
/// lies in the processor's cache, is used next.
///
/// SAFETY (`@exclusivity(unchecked)`): the loop's thread alone comes here, and no access spans a
/// call.
package final class BufferPool {
    package let byteCount: Int
    package let capacity: Int
    private let memory: UnsafeMutableRawPointer
    private let stride: Int
    private let free: UnsafeMutablePointer<BufferID>
    @exclusivity(unchecked) package private(set) var freeCount: Int

    package init(capacity: Int, byteCount: Int) {
        self.capacity = capacity
        self.byteCount = byteCount
        // Starts that are a power of two apart would share the same few lines of the cache.
        stride = byteCount + 17 * 64
        // The pages are touched, and so paid for, only when bytes arrive in them.
        memory = .allocate(byteCount: capacity * stride, alignment: 4096)
        free = .allocate(capacity: capacity)
        for index in 0..<capacity {
            (free + index).initialize(to: BufferID(rawValue: UInt16(capacity - 1 - index)))
        }
        freeCount = capacity
    }

    deinit {
        free.deallocate()
        memory.deallocate()
    }

    package func take() -> BufferID? {
        guard freeCount > 0 else { return nil }
        freeCount &-= 1
        return free[freeCount]
    }

    package func giveBack(_ buffer: BufferID) {
        precondition(freeCount < capacity, "a buffer was given back twice")
        free[freeCount] = buffer
        freeCount &+= 1
    }

    /// The start of a buffer's bytes.
    package func start(of buffer: BufferID) -> UnsafeMutableRawPointer {
        memory + Int(buffer.rawValue) &* stride
    }
}
