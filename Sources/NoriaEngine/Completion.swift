// SPDX-License-Identifier: Apache-2.0

/// The tie between what was submitted and what is answered: slot, generation and kind.
///
/// It travels through the kernel as 64 bits. It is never a pointer: an answer that comes after
/// its slot was given to another finds another generation, and is dropped.
package struct Token: Hashable, Sendable {
    package enum Kind: UInt8, Sendable {
        case operation
        /// An operation too: one that may take a buffer. Only a ring tells it apart.
        case receive
        /// An operation too: its answer is a set of bits, which say no more than that it came.
        case watch
        /// The eventfd that rouses a sleeping engine.
        case wakeup
        /// The answer to a request to cancel, which nobody waits for.
        case cancellation
    }

    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(slot: UInt32, generation: UInt32, kind: Kind = .operation) {
        rawValue =
            UInt64(slot) | UInt64(generation & Self.generationMask) << 32
            | UInt64(kind.rawValue) << 56
    }

    /// A generation has 24 bits: a slot must be used 16 million times while one answer is out.
    package static let generationMask: UInt32 = 0xff_ffff

    /// The same slot and generation, told apart on its way through the kernel.
    package func marked(as kind: Kind) -> Token {
        Token(slot: slot, generation: generation, kind: kind)
    }

    /// Ties to nothing: no slot has generation 0 and this number.
    package static let none = Token(rawValue: .max)

    package var slot: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
    package var generation: UInt32 {
        UInt32(truncatingIfNeeded: rawValue >> 32) & Self.generationMask
    }
    package var kind: Kind {
        Kind(rawValue: UInt8(truncatingIfNeeded: rawValue >> 56)) ?? .operation
    }
}

/// One buffer of the engine's pool, by its number.
package struct BufferID: Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
}

/// What the kernel answered.
package struct Completion: Sendable {
    package var token: Token
    /// A count or a descriptor; an error's number made negative.
    package var result: Int32
    /// Where the received bytes lie.
    ///
    /// Whoever takes the completion gives the buffer back.
    package var buffer: BufferID?

    package init(token: Token, result: Int32, buffer: BufferID? = nil) {
        self.token = token
        self.result = result
        self.buffer = buffer
    }
}

/// Completions that the engine has not delivered yet, first in, first out.
///
/// Its length is bounded by the number of operations, for each has one completion.
package struct CompletionQueue: ~Copyable {
    private var ring: UnsafeMutablePointer<Completion>
    private var capacity: Int
    private var head = 0
    package private(set) var count = 0

    package init(capacity: Int = 256) {
        precondition(capacity.nonzeroBitCount == 1, "a ring's capacity is a power of two")
        self.capacity = capacity
        ring = .allocate(capacity: capacity)
    }

    deinit { ring.deallocate() }

    package var isEmpty: Bool { count == 0 }

    package mutating func append(_ completion: Completion) {
        if count == capacity { grow() }
        (ring + ((head &+ count) & (capacity &- 1))).initialize(to: completion)
        count &+= 1
    }

    package mutating func popFirst() -> Completion? {
        guard count > 0 else { return nil }
        defer {
            head = (head &+ 1) & (capacity &- 1)
            count &-= 1
        }
        return ring[head]
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Completion>.allocate(capacity: capacity * 2)
        for index in 0..<count {
            (larger + index).initialize(to: ring[(head &+ index) & (capacity &- 1)])
        }
        ring.deallocate()
        (ring, head, capacity) = (larger, 0, capacity * 2)
    }
}
