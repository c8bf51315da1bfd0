// SPDX-License-Identifier: Apache-2.0
#if NIO
public import Dispatch
public import NIOCore
public import Noria
internal import Synchronization

/// The loops of a runtime, as SwiftNIO knows a group.
///
/// The runtime begins and ends them: `shutdownGracefully` fails with `.unsupportedOperation`.
public final class NoriaEventLoopGroup: NIOCore::EventLoopGroup, Sendable {
    let runtime: Runtime
    /// One for each of the runtime's loops, in their order.
    let all: [NoriaEventLoop]
    private let turn = Atomic<Int>(0)

    /// The loops of `runtime`, which must run for as long as the group is used; two groups of one
    /// runtime have the same.
    public init(_ runtime: Runtime) {
        self.runtime = runtime
        all = runtime.eventLoops.map { loop in
            loop.presentAdapter { NoriaEventLoop(loop, runtime) }
        }
    }

    /// The loops in turn.
    ///
    /// Any thread.
    public func next() -> any NIOCore::EventLoop { nextLoop() }

    func nextLoop() -> NoriaEventLoop {
        all[turn.wrappingAdd(1, ordering: .relaxed).oldValue % all.count]
    }

    /// The loop that runs the caller, else the next.
    ///
    /// Any thread.
    public func any() -> any NIOCore::EventLoop { all.first { $0.inEventLoop } ?? next() }

    /// The loops in their order.
    public func makeIterator() -> EventLoopIterator { EventLoopIterator(all) }

    /// Ends nothing, and says so: the runtime ends its loops.
    public func shutdownGracefully(
        queue: DispatchQueue,
        _ callback: @escaping @Sendable ((any Error)?) -> Void
    ) {
        queue.async { callback(EventLoopError.unsupportedOperation) }
    }
}
#endif
