// SPDX-License-Identifier: Apache-2.0
import Glibc

#if GRPC
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOSSL
import Noria
import NoriaGRPC

/// One gRPC service on Noria's loops, `noria` or `service`, each with `CERTIFICATE KEY` or without,
/// or on SwiftNIO's, `stock`; `unix PATH`; and gRPC Swift's own client, `client PORT`.
@main
enum GRPCProbe {
    private static let arguments = Array(CommandLine.arguments.dropFirst())
    private static let anyPort = SocketAddress.ipv4(host: "127.0.0.1", port: 0)

    static func main() {
        switch (arguments.first, arguments.count) {
        case ("noria", 1), ("noria", 3):
            Runtime.main { runtime in
                try await serve(.http2Noria(runtime, address: anyPort, tls: try tls()))
            }
        case ("unix", 2):
            Runtime.main { runtime in
                try await serve(
                    .http2Noria(runtime, address: .unixDomainSocket(path: arguments[1]))
                )
            }
        case ("service", 1):
            Runtime.main { runtime in
                let server = GRPCServer(
                    transport: .http2Noria(runtime, address: anyPort),
                    services: [ProbeService()]
                )
                async let served: Void = runtime.run(services: [NoriaGRPCService(server)])
                await say(server)
                try await served
            }
        case ("stock", 1):
            plainly {
                try await serve(.http2NIOPosix(address: anyPort, transportSecurity: .plaintext))
            }
        case ("client", 2): plainly { try await ProbeClient(port: Int(arguments[1]) ?? 0).run() }
        default:
            print(
                """
                usage: NoriaGRPCProbe noria [CERTIFICATE KEY] | unix PATH | service | stock \
                | client PORT
                """
            )
            exit(64)
        }
    }

    private static func serve(_ transport: some ListeningServerTransport) async throws {
        let server = GRPCServer(transport: transport, services: [ProbeService()])
        async let served: Void = server.serve()
        await say(server)
        try await served
    }

    private static func say<Transport: ServerTransport>(_ server: GRPCServer<Transport>) async {
        guard let address = try? await server.listeningAddress else { return }
        print("listening on \(address.ipv4.map { "\($0.host):\($0.port)" } ?? "\(address)")")
        fflush(nil)
    }

    private static func tls() throws -> TLSConfiguration? {
        guard arguments.count == 3 else { return nil }
        return TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(arguments[1])
                .map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: arguments[2], format: .pem))
        )
    }

    /// On Swift's own executors.
    private static func plainly(_ body: @escaping @Sendable () async throws -> Void) {
        let done = Task {
            do {
                try await body()
                exit(0)
            } catch {
                print("\(error)")
                exit(1)
            }
        }
        withExtendedLifetime(done) { while true { pause() } }
    }
}
#else
@main
enum GRPCProbe {
    static func main() {
        print("built without the trait GRPC")
        exit(64)
    }
}
#endif
