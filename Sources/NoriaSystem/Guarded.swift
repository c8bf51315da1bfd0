// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A value behind a lock of the C library.
///
/// It does what `Mutex` of the standard library does; but the thread sanitizer knows this lock,
/// and takes what goes through the other for a race.
///
/// SAFETY (`@unchecked Sendable`): `value` is reached under the lock alone.
package final class Guarded<Value: ~Copyable>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    package init(_ value: consuming Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    package func withLock<Result, Failure>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
