// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// A server under limits that the arguments name, `idle=500` and so on in milliseconds.
///
/// What a connection's handler does is asked for by the client's first byte. With `proxied` a PROXY
/// header comes before that.
enum Limits {
    static func run() {
        let configuration = NoriaProbe.configuration.with {
            // Else they are the listener's own.
            if CommandLine.arguments.contains("configured") { $0.network.limits = limits }
        }
        let path = CommandLine.arguments.dropFirst(2).first { $0.hasPrefix("/") }
        let proxies: ProxyProtocol =
            CommandLine.arguments.contains("proxied") ? .required : .off
        Runtime.main(configuration) { _ in
            if let path {
                let listener = try await UnixListener.bind(
                    path: FilePath(path),
                    limits: limits,
                    proxyProtocol: proxies
                )
                say("listening on \(listener.localAddress)")
                return try await listener.serve { await serve($0) }
            }
            let listener = try await TCPListener.bind(
                host: "127.0.0.1",
                port: 0,
                options: SocketOptions(sendBufferByteCount: 16_384),
                limits: limits,
                proxyProtocol: proxies
            )
            say("listening on \(listener.localAddress)")
            try await listener.serve { await serve($0) }
        }
    }

    private static func serve(_ connection: some StreamConnection) async {
        do {
            try await handle(connection)
            say("returned: \(connection)")
        } catch {
            say("ended: \(error)")
            // What a handler does with its last word.
            if let error = error as? NetworkError, error.kind == .timedOut {
                try? await connection.outbound.write("ERR \(error.kind)\n")
            }
        }
    }

    private static let foreign = Elsewhere.ForeignExecutor()

    private static var limits: StreamLimits {
        var limits = StreamLimits()
        for argument in CommandLine.arguments.dropFirst(2) {
            let parts = argument.split(separator: "=")
            guard parts.count == 2, let number = Int(parts[1]) else { continue }
            let time = Duration.milliseconds(number)
            switch parts[0] {
            case "idle": limits.idleTimeout = time
            case "read": limits.readTimeout = time
            case "write": limits.writeTimeout = time
            case "header": limits.proxyHeaderTimeout = time
            case "linger": limits.lingerTimeout = time
            case "connections": limits.connectionLimit = number
            default: preconditionFailure("no limit is called \(parts[0])")
            }
        }
        return limits
    }

    private static func handle(_ connection: some StreamConnection) async throws {
        let inbound = connection.inbound
        let outbound = connection.outbound
        guard let first = try await inbound.read(exactly: 1)?.first else { return }
        switch Character(UnicodeScalar(first)) {
        case "e": try await outbound.write(contentsOf: inbound)
        case "l": for try await line in inbound.lines() { try await outbound.write("<\(line)>") }
        case "c":
            while let bytes = try await inbound.read(exactly: 4) { try await outbound.write(bytes) }
        case "f": try await frames(inbound, outbound)
        case "F":
            try await withTaskExecutorPreference(foreign) { @concurrent in
                try await frames(inbound, outbound)
            }
        case "a": try await outbound.write(try await inbound.readAll(limit: 1000))
        case "w":
            let bytes = [UInt8](repeating: 7, count: 50_000)
            while true { try await outbound.write(bytes) }
        case "p":
            let proxy = connection.proxyAddress.map { "\($0)" } ?? "none"
            try await outbound.write("\(connection.peerAddress) \(proxy)\n")
            try await outbound.write(contentsOf: inbound)
        case "n":
            guard let counts = Runtime.current?.snapshot().proxyHeaders else { return }
            let numbers = [counts.malformed, counts.missing, counts.timedOut]
            try await outbound.write("\(numbers)\n")
        case "q":
            // Above the mark, and nobody waits for it.
            try outbound.enqueue([UInt8](repeating: 7, count: 900_000))
            _ = try await inbound.next()
        case "s":
            while true { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
        case "r": return
        default: throw Runs.Mistake()
        }
    }

    private static func frames(_ inbound: InboundBytes, _ outbound: OutboundBytes) async throws {
        let parse: (inout ByteCursor) throws -> String = { cursor in
            try cursor.readString(byteCount: Int(try cursor.readInteger(UInt8.self)))
        }
        while let text = try await inbound.readFrame(parse) { try await outbound.write(text) }
    }

    private static func say(_ text: String) {
        print(text)
        fflush(nil)
    }
}
