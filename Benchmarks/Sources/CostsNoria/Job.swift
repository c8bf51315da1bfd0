// SPDX-License-Identifier: Apache-2.0
import BareJob

/// Asks what a job costs that the loop's thread enqueues and the loop runs.
///
/// The job is the runtime's smallest, so this is the loop's own price, with no task in it.
func runBareJobs(_ count: Int) async {
    await withUnsafeContinuation { continuation in
        let last = Last(continuation)
        bare_job_start(
            count,
            { Unmanaged<Last>.fromOpaque($0).takeRetainedValue().continuation.resume() },
            Unmanaged.passRetained(last).toOpaque()
        )
    }
}

private final class Last {
    let continuation: UnsafeContinuation<Void, Never>
    init(_ continuation: UnsafeContinuation<Void, Never>) { self.continuation = continuation }
}
