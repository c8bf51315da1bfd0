// SPDX-License-Identifier: Apache-2.0
internal import Logging

extension Runtime {
    /// Makes a pool that shares neither threads nor queue with others: a slow database in it keeps
    /// nothing else waiting.
    ///
    /// Its threads are started on demand; it ends with the runtime, which waits for its jobs as for
    /// those of `blocking`.
    ///
    /// Any thread.
    public func makeThreadPool(
        name: String,
        _ configuration: ThreadPool.Configuration = .blocking
    ) -> ThreadPool {
        ThreadPool(
            name: name,
            configuration,
            processors: processors,
            watch: poolWatch,
            loop: eventLoops.main,
            logger: self.configuration.logger
        )
    }

    /// Waits for the jobs of the pools, which begins a shutdown, and with it the deadline, if there
    /// are some; then their threads go.
    func closePools(_ reason: String) async {
        let pools = poolWatch.pools
        if pools.contains(where: { !$0.unfinished.isEmpty }) { shutdown.request(reason: reason) }
        for pool in pools { await pool.close() }
        poolWatch.end()
    }
}
