// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Synchronization

/// Opens when it was passed a number of times: a plain thread waits for others, or for a loop.
package final class Gate: Sendable {
    /// A lock and a condition at an address of their own, as the C library demands.
    ///
    /// SAFETY (`@unchecked Sendable`): only the C library's own calls touch the memory.
    private final class Bolt: @unchecked Sendable {
        let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

        init() {
            pthread_mutex_init(mutex, nil)
            pthread_cond_init(condition, nil)
        }

        deinit {
            pthread_cond_destroy(condition)
            pthread_mutex_destroy(mutex)
            condition.deallocate()
            mutex.deallocate()
        }
    }

    private let bolt = Bolt()
    private let left: Mutex<Int>

    package init(count: Int = 1) { left = Mutex(count) }

    package func pass() {
        pthread_mutex_lock(bolt.mutex)
        left.withLock { $0 -= 1 }
        pthread_cond_broadcast(bolt.condition)
        pthread_mutex_unlock(bolt.mutex)
    }

    /// Waits until it is open, ten seconds at most.
    package func wait(for what: String) throws {
        var limit = timespec()
        clock_gettime(CLOCK_REALTIME, &limit)
        limit.tv_sec += 10
        pthread_mutex_lock(bolt.mutex)
        defer { pthread_mutex_unlock(bolt.mutex) }
        while left.withLock({ $0 }) > 0 {
            guard pthread_cond_timedwait(bolt.condition, bolt.mutex, &limit) == 0 else {
                throw ChildProcess.Failure(
                    "waited 10 s for \(what); \(left.withLock { $0 }) are still to come"
                )
            }
        }
    }
}
