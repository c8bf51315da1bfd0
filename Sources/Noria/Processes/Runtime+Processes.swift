// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// The pool of a runtime: none until somebody asks for it.
struct ProcessPoolPlace: Sendable {
    var pool: ProcessPool?
    var isClosed = false
}

extension Runtime {
    /// The worker processes of this runtime, made at their first use; see `ProcessPool`.
    ///
    /// A shutdown lets the calls in hand end, those of connections that drain included, and ends the
    /// workers when the body and the spawned tasks have ended.
    ///
    /// Any thread.
    public var processes: ProcessPool {
        processPool.withLock { place in
            if let pool = place.pool { return pool }
            let pool = ProcessPool(self, isClosed: place.isClosed)
            place.pool = pool
            // Below all others, which may have calls to make while they drain.
            if !place.isClosed { shutdown.register(below: pool, name: "processes") }
            return pool
        }
    }

    /// Ends the workers; the loops still turn.
    func closeProcesses() async {
        let pool = processPool.withLock { place in
            place.isClosed = true
            return place.pool
        }
        guard let driver = pool?.driver else { return }
        if driver.loop.isHome { return await driver.close() }
        await driver.loop.bring { await driver.close() }
    }

    /// What the pool does, if there is one.
    var processPoolSnapshot: ProcessPoolSnapshot? {
        processPool.withLock { $0.pool }?.snapshot()
    }
}

extension ProcessPool: Drainable {
    /// Waits until the calls have ended that wait or run at its begin.
    ///
    /// It goes on to take calls: the body may have some to make before it returns. The deadline is
    /// kept by the runtime, which then calls `abort`.
    public func drain(until deadline: ContinuousClock.Instant) async {
        if driver.loop.isHome { return await driver.waitForPresentCalls() }
        await driver.loop.bring { [driver] in await driver.waitForPresentCalls() }
    }

    /// Ends every worker by SIGKILL, and each call with `.closed`.
    ///
    /// Any thread.
    public func abort() { driver.loop.perform { [driver] in driver.abort() } }
}
