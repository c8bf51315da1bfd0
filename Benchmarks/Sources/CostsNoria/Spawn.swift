// SPDX-License-Identifier: Apache-2.0

// What does a task cost that returns at once, when many are made before the first runs?

/// As `Task { }`: the last of a batch begins the next.
@concurrent func spawnTasks(_ count: Int) async {
    for _ in 0..<count / batch {
        await withUnsafeContinuation { continuation in
            let countdown = Countdown(continuation)
            for _ in 0..<batch { Task { countdown.arrive() } }
        }
    }
}

/// As children of a group, which ends with the last of them.
@concurrent func spawnChildren(_ count: Int) async {
    for _ in 0..<count / batch {
        await withDiscardingTaskGroup { group in
            for _ in 0..<batch { group.addTask {} }
        }
    }
}

/// Resumes whoever waits for a batch.
///
/// SAFETY (`@unchecked Sendable`): all of its tasks run on the one loop. SAFETY
/// (`@exclusivity(unchecked)`): no access spans a call.
private final class Countdown: @unchecked Sendable {
    @exclusivity(unchecked) private var left = batch
    private let continuation: UnsafeContinuation<Void, Never>

    init(_ continuation: UnsafeContinuation<Void, Never>) { self.continuation = continuation }

    func arrive() {
        left -= 1
        if left == 0 { continuation.resume() }
    }
}
