// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// A service under a manager: `KIND`, and for some `NAME`.
enum Supervised {
    private static func say(_ text: String) {
        print(text)
        fflush(nil)
    }

    static func run() {
        let arguments = Array(CommandLine.arguments.dropFirst(2))
        let kind = arguments.first ?? ""
        Runtime.main { runtime in
            switch kind {
            case "warm before": try await warmBefore(runtime)
            case "no listener": try await withoutListener(runtime)
            case "slow start": try await slowStart(runtime)
            case "reload": try await reload(runtime)
            case "blocked": try await blocked(runtime)
            case "inherited": try await inherited(runtime, arguments[1])
            case "stored": try await stored(runtime, arguments[1])
            default: exit(64)
            }
        }
    }

    /// One request a connection: who answers is told by its number.
    private static func serve(_ listener: TCPListener) async throws {
        say("listening on \(listener.localAddress)")
        try await listener.serve { connection in
            guard let line = try await connection.inbound.readLine() else { return }
            try await connection.outbound.write("\(line) by \(getpid())\n")
        }
    }

    /// Not ready with its listener, but when it has said so: at SIGUSR2.
    private static func slowStart(_ runtime: Runtime) async throws {
        runtime.health.setNotReady("cache", because: "cold")
        runtime.spawn(name: "warm up") {
            for await _ in runtime.signals(.user2) { runtime.health.setReady("cache") }
        }
        try await serve(try await TCPListener.bind(host: "127.0.0.1", port: 0))
    }

    /// Warm before there is a listener: nobody is to connect yet.
    private static func warmBefore(_ runtime: Runtime) async throws {
        runtime.health.setNotReady("cache", because: "cold")
        runtime.health.setReady("cache")
        say("warm")
        for await _ in runtime.signals(.user2) { break }
        try await serve(try await TCPListener.bind(host: "127.0.0.1", port: 0))
    }

    private static func withoutListener(_ runtime: Runtime) async throws {
        runtime.health.setReady("start")
        try await runtime.shutdown.requested()
    }

    private static func reload(_ runtime: Runtime) async throws {
        runtime.spawn(name: "reload") {
            for await _ in runtime.signals(.hangup) { await runtime.reloading { say("reading") } }
        }
        try await serve(try await TCPListener.bind(host: "127.0.0.1", port: 0))
    }

    /// Blocks its last loop at SIGUSR2.
    private static func blocked(_ runtime: Runtime) async throws {
        runtime.spawn(name: "blocker") {
            for await _ in runtime.signals(.user2) {
                let loop = runtime.eventLoops[runtime.eventLoops.count - 1]
                runtime.spawn(name: "blocks", on: loop) { while true { pause() } }
            }
        }
        try await serve(try await TCPListener.bind(host: "127.0.0.1", port: 0))
    }

    private static func inherited(_ runtime: Runtime, _ name: String) async throws {
        guard let listener = try await TCPListener.inherited(name: name) else {
            return say("nothing of that name")
        }
        guard try await TCPListener.inherited(name: name) == nil else { return say("taken twice") }
        try await serve(listener)
    }

    /// From the process before, else of its own and stored for the next.
    private static func stored(_ runtime: Runtime, _ name: String) async throws {
        if let listener = try await TCPListener.inherited(name: name) {
            return try await serve(listener)
        }
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        try await listener.store(name: name)
        try await serve(listener)
    }
}
