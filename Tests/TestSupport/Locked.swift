// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A value under a lock of the C library's, which the thread sanitizer knows.
///
/// `Mutex` of `Synchronization` is a futex inside a library that was built without the sanitizer:
/// what it orders looks like a race there, on Linux with Swift 6.3.
///
/// SAFETY (`@unchecked Sendable`): the value is touched under the lock alone.
package final class Locked<Value>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    package init(_ value: Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    package func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
