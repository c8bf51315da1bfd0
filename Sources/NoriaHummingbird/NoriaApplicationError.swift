// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
/// Why a `NoriaApplication` can't serve.
public struct NoriaApplicationError: Error, CustomStringConvertible, Sendable {
    /// What was wrong.
    @nonexhaustive
    public enum Kind: Sendable, Hashable {
        /// None of Noria's runtimes ran where the application was made.
        case noRuntime
    }

    /// What was wrong.
    public let kind: Kind

    init(_ kind: Kind) { self.kind = kind }

    /// What failed, why, and what to do.
    public var description: String {
        switch kind {
        case .noRuntime:
            """
            NoriaApplication.run() has no loops to serve on: no runtime of Noria's ran where the \
            application was made; make it within 'Runtime.main { runtime in … }'.
            """
        }
    }
}
#endif
