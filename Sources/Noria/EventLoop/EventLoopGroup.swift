// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// The loops of a runtime.
public struct EventLoopGroup: RandomAccessCollection, Sendable {
    private let loops: [EventLoop]
    private static let turn = Atomic<Int>(0)

    init(_ loops: [EventLoop]) { self.loops = loops }

    /// The main thread's loop, on which `@MainActor` code runs; embedded, the first one, which has a
    /// thread of its own.
    public var main: EventLoop { loops[0] }

    /// One loop after the other.
    public func next() -> EventLoop {
        loops[Self.turn.wrappingAdd(1, ordering: .relaxed).oldValue % loops.count]
    }

    /// 0.
    public var startIndex: Int { 0 }
    /// The number of loops.
    public var endIndex: Int { loops.count }
    /// The loop of that number.
    public subscript(position: Int) -> EventLoop { loops[position] }
}
