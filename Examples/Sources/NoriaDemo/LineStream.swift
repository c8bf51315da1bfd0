// SPDX-License-Identifier: Apache-2.0
import Hummingbird
import NIOCore
import Noria

/// A response that comes a line at a time: `/stream?count=10&every=200ms`.
///
/// It ends after its last line, when the service drains, or when a line can't be sent any more
/// because the client has left.
struct LineStream: Sendable {
    private let runtime: Runtime
    private let count: Int
    private let period: Duration

    init(_ runtime: Runtime, _ request: Request) throws {
        let query = Query(request)
        self.runtime = runtime
        count = try query.integer("count", in: 1...10_000) ?? 10
        period = try query.time("every", in: .milliseconds(1)...(.seconds(5))) ?? .milliseconds(200)
    }

    var response: Response {
        Response(
            status: .ok,
            headers: [
                .contentType: "text/plain; charset=utf-8",
                // A browser would wait for more of it otherwise, to guess what it is.
                .xContentTypeOptions: "nosniff",
                .cacheControl: "no-store",
            ],
            body: ResponseBody { writer in
                let began = ContinuousClock.now
                for number in 1...count {
                    if number > 1, try await !pause() {
                        try await writer.write(
                            ByteBuffer(string: "ended early: the service is being shut down\n")
                        )
                        break
                    }
                    let time = began.duration(to: .now).milliseconds
                    let loop = EventLoop.current.map { "\($0)" } ?? "no loop"
                    try await writer.write(
                        ByteBuffer(string: "line \(number) of \(count), \(time) ms, \(loop)\n")
                    )
                }
                try await writer.finish(nil)
            }
        )
    }

    /// Waits until the next line is due; false when the service drains, at once.
    private func pause() async throws -> Bool {
        let shutdown = runtime.shutdown
        if shutdown.phase == .running {
            do {
                try await withTimeout(period, name: "the next line") {
                    try await shutdown.requested()
                }
            } catch is TimeoutError {}
        } else {
            // Asked for, and everything goes on for the grace.
            try await Task.sleep(for: period)
        }
        return shutdown.phase < .draining
    }
}
