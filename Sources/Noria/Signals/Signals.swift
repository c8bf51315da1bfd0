// SPDX-License-Identifier: Apache-2.0
internal import Logging

/// The signals that come while somebody waits for them: see `Runtime.signals(_:)`.
public struct Signals: AsyncSequence, Sendable {
    /// A signal that came.
    public typealias Element = Signal
    /// It does not fail.
    public typealias Failure = Never

    private let subscription: SignalSubscription

    init(_ subscription: SignalSubscription) { self.subscription = subscription }

    /// The iterator that `for await` uses.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: subscription) }

    /// Waits for signal after signal; the iterators of one value share what comes.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let subscription: SignalSubscription

        /// The next signal; nil when a shutdown has begun, or when the calling task is cancelled.
        public mutating func next() async -> Signal? { await subscription.mailbox.next() }

        /// As `next()`, for callers on an actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async -> Signal? {
            await subscription.mailbox.next()
        }
    }
}

extension Runtime {
    /// Catches signals from now on and gives them out, instead of what they would do.
    ///
    /// Several callers get each signal each. One number that comes again before it was taken counts
    /// once, as with the kernel. The sequence ends when a shutdown begins. When nobody has a
    /// sequence for a signal any more, it does again what it did before; in a shutdown it stays
    /// caught until the end, so that a late SIGHUP does not cut the drain short.
    ///
    /// A signal that begins the shutdown (`ShutdownPolicy.signals`) begins it all the same, and is
    /// the last element here. What can't be caught (SIGKILL, SIGSTOP), what reports a fault, and
    /// SIGPIPE, which the runtime ignores, is logged and never comes.
    ///
    /// An embedded runtime catches none, since they are its program's: the sequence ends at once, and
    /// that is logged.
    ///
    /// Any thread.
    public func signals(_ signals: Signal...) -> Signals {
        if isEmbedded {
            let names = signals.map(\.description).joined(separator: ", ")
            configuration.logger.error(
                "signals: never to come: \(names): an embedded runtime leaves them to its program"
            )
        }
        return Signals(signalWatch.subscribe(signals))
    }
}
