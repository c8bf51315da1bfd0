// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization

/// Where one thread sleeps until another rouses it: a futex, and a system call only for a sleeper.
///
/// A rouse that comes first is kept, and the next `park` returns at once; several count once.
///
/// SAFETY (`@unchecked Sendable`): the memory is reached by atomics alone, and freed with the object,
/// which whoever parks or rouses holds.
final class Parker: @unchecked Sendable {
    private static let empty: UInt32 = 0
    private static let roused: UInt32 = 1
    private static let parked: UInt32 = 2

    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        word = .allocate(capacity: 1)
        word.initialize(to: Atomic(Self.empty))
    }

    deinit {
        word.deinitialize(count: 1)
        word.deallocate()
    }

    /// SAFETY: an atomic is laid out as its value, and the kernel reads it as such.
    private var address: UnsafeMutablePointer<UInt32> {
        UnsafeMutableRawPointer(word).assumingMemoryBound(to: UInt32.self)
    }

    /// Sleeps until it is roused; false when the time has passed before.
    ///
    /// One thread at a time.
    func park(nanoseconds: Int64) -> Bool {
        let end = nanoseconds == .max ? .max : MonotonicClock.now &+ UInt64(max(0, nanoseconds))
        while true {
            if word.pointee.compareExchange(
                expected: Self.empty,
                desired: Self.parked,
                ordering: .acquiringAndReleasing
            ).original == Self.roused {
                word.pointee.store(Self.empty, ordering: .relaxed)
                return true
            }
            var left: Int64 = -1
            if end != .max {
                left = Int64(bitPattern: end &- MonotonicClock.now)
                guard left > 0 else { return endParking() }
            }
            Futex.wait(on: address, while: Self.parked, nanoseconds: left)
        }
    }

    private func endParking() -> Bool {
        word.pointee.exchange(Self.empty, ordering: .acquiringAndReleasing) == Self.roused
    }

    /// Any thread.
    func rouse() {
        let before = word.pointee.exchange(Self.roused, ordering: .acquiringAndReleasing)
        guard before == Self.parked else { return }
        Futex.wake(address)
    }
}
