// SPDX-License-Identifier: Apache-2.0
import Glibc
import Hummingbird
import NIOCore
import Noria

/// `/offload?n=200000` computes, `/offload?sleep=200ms` blocks: each on its pool, and the loop goes on.
func offload(_ request: Request, _ runtime: Runtime) async throws -> Response {
    let query = Query(request)
    let limit = try query.integer("n", in: 1...2_000_000) ?? 200_000
    let sleep = try query.time("sleep", in: .milliseconds(1)...(.seconds(5)))
    let began = ContinuousClock.now
    let (result, late) = await measuringLateness {
        if let sleep {
            try await runtime.blocking.run(name: "sleep") { wait(for: sleep) }
            return "\"slept\": \"\(sleep)\""
        }
        let count = try await runtime.compute.run(name: "count primes") {
            try primeCount(upTo: limit)
        }
        return "\"n\": \(limit), \"primes\": \(count)"
    }
    do {
        let body = try result.get()
        let took = began.duration(to: .now).milliseconds
        return Response(
            status: .ok,
            headers: [.contentType: "application/json"],
            body: ResponseBody(
                byteBuffer: ByteBuffer(
                    string: "{\(body), \"tookMs\": \(took), \"loopLateMs\": \(late.milliseconds)}\n"
                )
            )
        )
    } catch let error as ThreadPoolError {
        throw HTTPError(.serviceUnavailable, message: "\(error)")
    }
}

/// `/block?ms=200`: what no code on a loop may do.
func block(_ request: Request) throws -> Response {
    let milliseconds = try Query(request).integer("ms", in: 1...5000) ?? 200
    let loop = EventLoop.current.map { "\($0)" } ?? "no loop"
    blockTheLoop(milliseconds: milliseconds)
    return text("\(loop) was blocked for \(milliseconds) ms: the log names it from 100 ms on\n")
}

/// The stack in the log has this name.
@inline(never)
private func blockTheLoop(milliseconds: Int) {
    wait(for: .milliseconds(milliseconds))
    // Without it the call above would be the last, and the optimiser would jump there from here.
    withExtendedLifetime(milliseconds) {}
}

/// Keeps the thread; a signal, as the watchdog sends, ends the sleep but not the wait.
private func wait(for duration: Duration) {
    let end = ContinuousClock.now + duration
    while true {
        let left = ContinuousClock.now.duration(to: end)
        guard left > .zero else { return }
        usleep(UInt32(min(500_000, max(1, left.milliseconds * 1000))))
    }
}

/// By trial, which is slow on purpose; a cancelled one ends soon.
private func primeCount(upTo limit: Int) throws -> Int {
    var count = limit < 2 ? 0 : 1
    for candidate in stride(from: 3, through: limit, by: 2) {
        if candidate & 1023 == 1 { try Task.checkCancellation() }
        var divisor = 3
        while divisor * divisor <= candidate, candidate % divisor != 0 { divisor += 2 }
        if divisor * divisor > candidate { count += 1 }
    }
    return count
}

/// What `body` returns or throws, and how late a timer of 1 ms on this loop was at most meanwhile.
private func measuringLateness<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
) async -> (Result<Value, any Error>, Duration) {
    await withTaskGroup(of: Duration.self) { group in
        group.addTask {
            var worst = Duration.zero
            while !Task.isCancelled {
                let due = ContinuousClock.now + .milliseconds(1)
                try? await Task.sleep(until: due, clock: .continuous)
                worst = max(worst, due.duration(to: .now))
            }
            return worst
        }
        let result: Result<Value, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        group.cancelAll()
        return (result, await group.next() ?? .zero)
    }
}

extension Duration {
    /// With one place after the point.
    var milliseconds: Double {
        let (seconds, attoseconds) = components
        return ((Double(seconds) * 1e3 + Double(attoseconds) / 1e15) * 10).rounded() / 10
    }
}
