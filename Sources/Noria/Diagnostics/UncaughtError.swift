// SPDX-License-Identifier: Apache-2.0

/// An error that nobody awaits, and where it came from.
public struct UncaughtError: Sendable, CustomStringConvertible {
    /// One sentence: who threw, and what.
    public let message: String
    /// What was thrown.
    public let error: any Error
    /// The name of the task that threw.
    public let task: String?
    /// Its number, as in `TaskSnapshot`.
    public let taskID: UInt64?
    /// The loop on whose thread it was met.
    public let eventLoop: EventLoop?
    /// The connection whose handler threw.
    public let connection: String?
    /// Where the task was made; only the debug mode knows.
    public let origin: String?

    init(
        _ message: String,
        _ error: any Error,
        task: String? = nil,
        taskID: UInt64? = nil,
        connection: String? = nil
    ) {
        self.message = message
        self.error = error
        self.task = task
        self.taskID = taskID
        self.connection = connection
        eventLoop = EventLoop.current
        origin = nil
    }

    /// The message.
    public var description: String { message }
}
