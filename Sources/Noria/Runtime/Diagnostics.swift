// SPDX-License-Identifier: Apache-2.0

extension RuntimeConfiguration {
    /// What a runtime watches in production, and whom it tells.
    public struct Diagnostics: Sendable {
        /// Whether live tasks are listed (`Runtime.tasks()`) and cancelled at the end, as they are by
        /// default.
        ///
        /// `NORIA_TRACKS_TASKS`. It costs two short locks and at most 64 bytes a task.
        public var tracksTasks = true
        /// Who takes the errors that nobody awaits: the log.
        public var uncaughtErrors = UncaughtErrorHandler.log
    }
}
