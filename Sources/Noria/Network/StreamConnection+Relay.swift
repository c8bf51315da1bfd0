// SPDX-License-Identifier: Apache-2.0

extension StreamConnection {
    /// Passes on what either end sends to the other, both ways at once, until both have ended.
    ///
    /// The end of one direction is passed on after its last byte, and the other direction goes on.
    /// Back pressure is passed on, too: no more is read from one end than the other takes. When a
    /// direction fails, both connections are aborted, so that neither peer takes a cut stream for a
    /// whole one, and the error is thrown. Neither is closed here: their scopes do that.
    ///
    /// Cancelling it ends both directions where they are and leaves the connections open.
    ///
    /// - Throws: `NetworkError` of the direction that failed first, or `CancellationError`.
    public func relay(to other: some StreamConnection) async throws {
        do {
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask { try await self.inbound.pass(to: other.outbound) }
                group.addTask { try await other.inbound.pass(to: self.outbound) }
            }
        } catch {
            if !(error is CancellationError) {
                abort()
                other.abort()
            }
            throw error
        }
    }
}

extension InboundBytes {
    fileprivate func pass(to outbound: OutboundBytes) async throws {
        try await outbound.write(contentsOf: self)
        try await outbound.finish()
    }
}
