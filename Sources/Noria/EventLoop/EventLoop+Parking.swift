// SPDX-License-Identifier: Apache-2.0

/// How an operation of ours waits, and goes on as what it was.
extension EventLoop {
    /// Counts an operation that was done without a wait.
    ///
    /// Loop thread only.
    func countOperation() { state.operationCount &+= 1 }

    /// Whether the present job has done its share of them.
    ///
    /// Loop thread only.
    var isBudgetSpent: Bool { state.operationCount >= Self.operationsPerJob }

    // MARK: Parking

    /// The role of the job that runs now: what a park remembers and gives back to `resume`.
    var currentRole: JobRole { state.role }

    /// Resumes a continuation so that the awaiting code runs as what it was.
    ///
    /// Loop thread only.
    ///
    /// A continuation resumes on the generic executor, and code of an actor on this loop would
    /// then have to hop: a second enqueue. The hint makes it one. It is sound because a switch
    /// between serial and generic always goes through our queue, so that the role at the park
    /// was the executor in force.
    func resume<Value>(
        _ continuation: UnsafeContinuation<Value, Never>,
        returning value: sending Value,
        as role: JobRole
    ) {
        state.roleHint = role
        continuation.resume(returning: value)
        state.roleHint = nil
    }
}
