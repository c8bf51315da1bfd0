// SPDX-License-Identifier: Apache-2.0

/// Why a runtime did not start, or is not what the program asked for.
public struct RuntimeError: Error, CustomStringConvertible, Sendable {
    /// The reasons; each sentence says what to do.
    @nonexhaustive
    public enum Kind: Sendable, Hashable {
        /// A value of the configuration, or of a `NORIA_*` variable, is not one.
        case configuration(String)
        /// The backend that was asked for can't be had here.
        case backendUnavailable(String)
        /// No runtime runs here.
        case noRuntime
        /// A runtime runs already; the text names where it began.
        case alreadyRunning(String)
        /// `Runtime.run` was called on another thread than the main one.
        case notOnMainThread
        /// The concurrency library was in use before.
        case tooLate(String)
    }

    /// The reason.
    public let kind: Kind

    init(_ kind: Kind) { self.kind = kind }

    /// One sentence: what is wrong and what to do.
    public var description: String {
        switch kind {
        case .configuration(let text): "configuration: \(text)"
        case .backendUnavailable(let text): "backend: \(text)"
        case .noRuntime: "no runtime runs here: call it inside 'Runtime.run' or 'withRuntime'"
        case .alreadyRunning(let text): "a runtime runs already: \(text)"
        case .notOnMainThread:
            "'Runtime.run' takes the main thread over: call it from a plain 'static func main()'"
        case .tooLate(let text): "too late to take the process over: \(text)"
        }
    }
}
