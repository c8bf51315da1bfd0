// SPDX-License-Identifier: Apache-2.0

/// Who is told that an operation has ended.
///
/// The table holds the owner from submission to the final completion, and with it the memory
/// that the kernel may still use.
package protocol OperationOwner: AnyObject {
    /// Takes the one completion of one operation. Loop thread only.
    func complete(_ completion: Completion, kind: Submission.Kind)
}

/// The operations under way, in slots that are used again under another generation.
///
/// It exists so that an answer from the kernel is looked up, never followed: a token whose
/// generation has passed finds nothing.
struct OperationTable: ~Copyable {
    private struct Slot {
        var owner: (any OperationOwner)?
        var kind: Submission.Kind
        var descriptor: Int32
        var generation: UInt32
        var isCancelled = false
        /// While the slot is free: the next free one.
        var nextFree: UInt32
    }

    private static let none = UInt32.max

    private var slots: UnsafeMutablePointer<Slot>
    private var capacity: Int
    private var used = 0
    private var firstFree = OperationTable.none
    /// The operations under way: an upper bound for every queue of completions.
    private(set) var count = 0

    init(capacity: Int = 128) {
        self.capacity = capacity
        slots = .allocate(capacity: capacity)
    }

    deinit {
        slots.deinitialize(count: used)
        slots.deallocate()
    }

    /// The token that the next `insert` will take.
    mutating func nextToken() -> Token {
        if firstFree == Self.none { addSlot() }
        return Token(slot: firstFree, generation: slots[Int(firstFree)].generation)
    }

    /// Takes the slot of `token`, which `nextToken` has just named.
    mutating func insert(
        _ token: Token,
        _ kind: Submission.Kind,
        _ descriptor: Int32,
        owner: any OperationOwner
    ) {
        let slot = slots + Int(token.slot)
        firstFree = slot.pointee.nextFree
        slot.pointee.owner = owner
        slot.pointee.kind = kind
        slot.pointee.descriptor = descriptor
        slot.pointee.isCancelled = false
        count &+= 1
    }

    private mutating func addSlot() {
        if used == capacity { grow() }
        (slots + used).initialize(
            to: Slot(
                owner: nil,
                kind: .watch,
                descriptor: -1,
                generation: 1,
                nextFree: Self.none
            )
        )
        firstFree = UInt32(used)
        used += 1
    }

    /// What an operation that is still under way was about.
    func find(_ token: Token) -> (kind: Submission.Kind, descriptor: Int32)? {
        guard let slot = live(token) else { return nil }
        return (slot.pointee.kind, slot.pointee.descriptor)
    }

    /// Notes that an operation is to end early, and answers like `find`.
    mutating func cancel(_ token: Token) -> (kind: Submission.Kind, descriptor: Int32)? {
        guard let slot = live(token) else { return nil }
        slot.pointee.isCancelled = true
        return (slot.pointee.kind, slot.pointee.descriptor)
    }

    func isCancelled(_ token: Token) -> Bool { live(token)?.pointee.isCancelled ?? false }

    /// Ends an operation: its owner, once, or nil for a token whose time has passed.
    mutating func remove(
        _ token: Token
    ) -> (owner: any OperationOwner, kind: Submission.Kind)? {
        guard let slot = live(token), let owner = slot.pointee.owner.take() else { return nil }
        slot.pointee.generation = (slot.pointee.generation &+ 1) & Token.generationMask
        slot.pointee.nextFree = firstFree
        firstFree = token.slot
        count &-= 1
        return (owner, slot.pointee.kind)
    }

    /// Every operation under way.
    var tokens: [Token] {
        (0..<used).compactMap { index in
            slots[index].owner == nil
                ? nil : Token(slot: UInt32(index), generation: slots[index].generation)
        }
    }

    private func live(_ token: Token) -> UnsafeMutablePointer<Slot>? {
        let index = Int(token.slot)
        guard index < used, slots[index].generation == token.generation else { return nil }
        return slots + index
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Slot>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: slots, count: used)
        slots.deallocate()
        (slots, capacity) = (larger, capacity * 2)
    }
}
