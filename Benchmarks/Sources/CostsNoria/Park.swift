// SPDX-License-Identifier: Apache-2.0

/// Asks what it costs that a task waits, and that another on the same loop resumes it.
///
/// Two tasks wait for each other in turn, so each operation is one suspension, one resumption and
/// one job.
@concurrent func park(_ count: Int) async {
    let exchange = Exchange()
    await withDiscardingTaskGroup { group in
        for _ in 0..<2 {
            group.addTask {
                for _ in 0..<count / 2 { await exchange.wakeAndWait() }
                exchange.wake()
            }
        }
    }
}

/// Where the task that waits has left its continuation.
///
/// SAFETY (`@unchecked Sendable`): both tasks run on the one loop. SAFETY
/// (`@exclusivity(unchecked)`): no access spans a call.
private final class Exchange: @unchecked Sendable {
    @exclusivity(unchecked) private var waiter: UnsafeContinuation<Void, Never>?

    nonisolated(nonsending) func wakeAndWait() async {
        await withUnsafeContinuation { mine in
            let other = waiter
            waiter = mine
            other?.resume()
        }
    }

    func wake() {
        let other = waiter
        waiter = nil
        other?.resume()
    }
}
