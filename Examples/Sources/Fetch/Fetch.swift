// SPDX-License-Identifier: Apache-2.0
import AsyncHTTPClient
import Glibc
import NIOCore
import NIOPosix
import Noria
import NoriaNIO

/// Fetches a URL with AsyncHTTPClient, whose SwiftNIO loops the runtime watches:
/// `Fetch URL [singleton|own|closed [BLOCK-MS]]`.
///
/// `singleton`, as by itself, takes SwiftNIO's group of the process; `own` makes one of one loop,
/// which the runtime shuts down, and `closed` one that the program shuts down. With BLOCK-MS a loop
/// is blocked on purpose after that.
@main
struct Fetch {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        let (kind, block) = (arguments.dropFirst().first, arguments.dropFirst(2).first)
        guard let url = arguments.first, [nil, "singleton", "own", "closed"].contains(kind) else {
            print("usage: Fetch URL [singleton|own|closed [BLOCK-MS]]")
            exit(64)
        }
        Runtime.main { runtime in
            let group: any NIOCore.EventLoopGroup =
                ["own", "closed"].contains(kind)
                ? MultiThreadedEventLoopGroup(numberOfThreads: 1)
                : HTTPClient.defaultEventLoopGroup
            runtime.watch(group, name: "http client")
            let client = HTTPClient(eventLoopGroupProvider: .shared(group))
            let result: Result<String, any Error>
            do { result = .success(try await get(url, client)) } catch { result = .failure(error) }
            // The group outlives its client, and ends with the runtime.
            try await client.shutdown()
            print(try result.get())
            if kind == "closed" {
                try await group.shutdownGracefully()
                return print("\(runtime.snapshot().watchedLoops.count) loops watched")
            }
            if let milliseconds = block.flatMap({ UInt32($0) }) {
                let loop = group.any()
                loop.execute { blockTheLoop(milliseconds: milliseconds) }
                // The runtime waits for the end of its own groups, not for that of the process's.
                if kind == "own" { return }
                try await loop.submit {}.get()
                for _ in 0..<80 where stalls(runtime) == 0 {
                    // It is counted when the watchdog looks next.
                    try await Task.sleep(for: .milliseconds(25))
                }
            }
            print("\(stalls(runtime)) stalls of \(runtime.snapshot().watchedLoops.count) loops")
        }
    }

    private static func get(_ url: String, _ client: HTTPClient) async throws -> String {
        let response = try await client.execute(HTTPClientRequest(url: url), timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 1 << 20)
        return "\(response.status.code): \(body.readableBytes) bytes"
    }

    private static func stalls(_ runtime: Runtime) -> UInt64 {
        runtime.snapshot().watchedLoops.reduce(0) { $0 + $1.stalls }
    }
}

/// What no code on a loop may do; the stack in the log has its name.
@inline(never)
private func blockTheLoop(milliseconds: UInt32) {
    let end = ContinuousClock.now + .milliseconds(milliseconds)
    // A signal, as the watchdog sends, ends a sleep.
    while ContinuousClock.now < end {
        let (seconds, attoseconds) = ContinuousClock.now.duration(to: end).components
        usleep(UInt32(max(0, seconds * 1_000_000 + attoseconds / 1_000_000_000_000)))
    }
}
