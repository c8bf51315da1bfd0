// SPDX-License-Identifier: Apache-2.0
import Glibc

#if Hummingbird
import Hummingbird
import HummingbirdCore
import HummingbirdHTTP2
import NIOCore
import NIOSSL
import Noria
import NoriaHummingbird

/// One Hummingbird service, on Noria's loops and on SwiftNIO's: `noria` or
/// `http2`, each with `CERTIFICATE KEY` or without, or
/// `stock`; `lost` has no runtime.
@main
enum HummingbirdProbe {
    private static let arguments = Array(CommandLine.arguments.dropFirst())

    static func main() {
        switch (arguments.first, arguments.count) {
        case ("noria", 1), ("noria", 3), ("http2", 1), ("http2", 3):
            Runtime.main { runtime in try await onNoria(runtime) }
        case ("service", 1):
            Runtime.main { runtime in
                try await runtime.run(services: [
                    NoriaApplication(
                        router: router(),
                        address: .hostname("127.0.0.1", port: 0),
                        onServerRunning: say
                    )
                ])
            }
        case ("stock", 1): stock()
        case ("lost", 1): lost()
        default:
            print(
                "usage: NoriaHummingbirdProbe noria|http2 [CERTIFICATE KEY] | service | stock | lost"
            )
            exit(64)
        }
    }

    private static func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/") { _, _ in "hello" }
        router.get("bytes/:count") { _, context in
            let count = try context.parameters.require("count", as: Int.self)
            return Response(
                status: .ok,
                headers: [.contentLength: "\(count)"],
                body: ResponseBody { writer in
                    var position = 0
                    while position < count {
                        let size = min(65_536, count - position)
                        let start = position % 251
                        try await writer.write(ByteBuffer(bytes: pattern[start..<start + size]))
                        position += size
                    }
                    try await writer.finish(nil)
                }
            )
        }
        router.get("slow/:milliseconds") { _, context in
            let milliseconds = try context.parameters.require("milliseconds", as: Int.self)
            try await Task.sleep(for: .milliseconds(milliseconds))
            return "hello"
        }
        router.post("count") { request, _ in
            var (count, sum): (Int, UInt32) = (0, 0)
            for try await piece in request.body {
                count += piece.readableBytes
                piece.withUnsafeReadableBytes { bytes in
                    for byte in bytes { sum = sum &* 31 &+ UInt32(byte) }
                }
            }
            return "\(count) \(sum)\n"
        }
        addConversations(to: router)
        return router
    }

    /// Bodies that are read while the answer is under way, late, too long, or not at all.
    private static func addConversations(to router: Router<BasicRequestContext>) {
        router.post("echo") { request, _ in
            Response(
                status: .ok,
                body: ResponseBody { writer in
                    for try await piece in request.body { try await writer.write(piece) }
                    try await writer.finish(nil)
                }
            )
        }
        router.post("later") { request, _ in
            await gate.passed()
            var count = 0
            for try await piece in request.body { count += piece.readableBytes }
            return "\(count)"
        }
        router.get("open") { _, _ in
            gate.open()
            return "opened"
        }
        router.get("events") { request, _ in
            Response(
                status: .ok,
                body: ResponseBody { writer in
                    try await writer.write(ByteBuffer(string: "one"))
                    do {
                        try await request.body.consumeWithCancellationOnInboundClose { _ in
                            await gate.passed()
                        }
                    } catch {
                        print("left: \(error)")
                        fflush(nil)
                        throw error
                    }
                    try await writer.finish(nil)
                }
            )
        }
        router.get("away") { _, context in
            guard let runtime = Runtime.current else { throw HTTPError(.internalServerError) }
            let number = try await runtime.blocking.run { 7 }
            return Response(
                status: .ok,
                body: ResponseBody { writer in
                    for index in 0..<number {
                        let text = try await runtime.blocking.run { "\(index)" }
                        try await writer.write(ByteBuffer(string: text))
                    }
                    try await writer.finish(nil)
                }
            )
        }
    }

    private static let gate = ProbeGate()

    private static let pattern = (0..<65_536 + 251).map { UInt8($0 % 251) }

    @Sendable
    private static func say(_ channel: any Channel) async {
        print("listening on 127.0.0.1:\(channel.localAddress?.port ?? 0)")
        fflush(nil)
    }

    private static func milliseconds(_ name: String) -> Int? {
        getenv(name).flatMap { Int(String(cString: $0)) }
    }

    private static func onNoria(_ runtime: Runtime) async throws {
        let isHTTP2 = arguments[0] == "http2"
        let configuration = HTTP2ChannelConfiguration(
            idleTimeout: milliseconds("IDLE_TIMEOUT_MS").map { .milliseconds($0) }
        )
        var transport: NoriaServerTransport = isHTTP2 ? .plaintextHTTP2(configuration) : .http1
        if arguments.count == 3 {
            let tls = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(arguments[1])
                    .map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: arguments[2], format: .pem))
            )
            transport = isHTTP2 ? .http2(tls, configuration) : .tls(tls)
        }
        let timeout = milliseconds("HEADER_TIMEOUT_MS") ?? 10_000
        let application = NoriaApplication(
            router: router(),
            address: .hostname("127.0.0.1", port: 0),
            transport: transport,
            configuration: ApplicationConfiguration(serverName: "probe"),
            headerTimeout: .milliseconds(timeout),
            onServerRunning: say
        )
        try await application.run()
    }

    private static func lost() {
        let done = Task {
            do {
                try await NoriaApplication(router: router()).run()
                exit(0)
            } catch {
                print("\(type(of: error)): \(error)")
                exit(1)
            }
        }
        withExtendedLifetime(done) { while true { pause() } }
    }

    private static func stock() {
        let done = Task {
            let application = Application(
                router: router(),
                configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
                onServerRunning: say
            )
            try await application.runService()
            exit(0)
        }
        withExtendedLifetime(done) { while true { pause() } }
    }
}

/// Opened once; whoever comes later passes at once.
private final class ProbeGate: Sendable {
    private let (stream, continuation) = AsyncStream<Void>.makeStream()

    func open() { continuation.yield() }
    func passed() async { for await _ in stream { return } }
}
#else
@main
enum HummingbirdProbe {
    static func main() {
        print("built without the trait Hummingbird")
        exit(64)
    }
}
#endif
