// SPDX-License-Identifier: Apache-2.0

/// What is done with an error that nobody awaits: the exception handler.
///
/// It is called on the thread on which the error was met, in the task locals of the task that threw
/// where it can be (a task that somebody still held when it failed has left them by then). It should
/// return soon: on a loop everybody waits for it. An error in a task that the handler itself began
/// goes to the log instead, so a handler that fails never calls itself again.
public struct UncaughtErrorHandler: Sendable {
    enum Action: Sendable {
        case log
        case shutDown
        case call(@Sendable (UncaughtError) -> Void)
    }

    let action: Action

    /// Logs it, 20 a second at most; how many were held back is counted and said.
    public static let log = Self(action: .log)

    /// Logs it and begins a shutdown; the process ends with 1 if nothing worse happens.
    public static let shutDown = Self(action: .shutDown)

    /// Hands each to `handle`, none held back.
    public init(_ handle: @escaping @Sendable (UncaughtError) -> Void) {
        self.init(action: .call(handle))
    }

    private init(action: Action) { self.action = action }
}
