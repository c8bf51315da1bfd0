// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import TestSupport
import Testing

/// Servers of ours and clients of others', as processes.
enum RealProgram {
    /// A server of the probe's, and its port.
    static func start(
        _ arguments: [String],
        _ backend: String,
        loops: Int = 1,
        program: String = "NoriaNIOProbe",
        environment: [String: String] = [:]
    ) throws -> (process: ChildProcess, port: Int) {
        let process = try ChildProcess(
            program,
            arguments,
            environment: ["NORIA_BACKEND": backend, "NORIA_LOOPS": "\(loops)"]
                .merging(environment) { $1 }
        )
        let line = try process.output.line(containing: "listening on 127.0.0.1:")
        return (process, Int(line.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0)
    }

    /// The program's whole output; nil, and said so, where there is none of that name.
    static func output(
        _ command: String,
        _ arguments: [String],
        code: Int32 = 0
    ) throws -> String? {
        let paths = ["/usr/bin/\(command)", "/usr/local/bin/\(command)"]
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else {
            print("skipped: no \(command) here")
            return nil
        }
        let process = try ChildProcess(path, arguments)
        let exit = try process.waitForExit(seconds: 120)
        let errors = try process.errors.all()
        #expect(exit == .code(code), "\(command) \(arguments): \(errors)")
        return try process.output.all()
    }

    static func bytes(of path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while case let count = fread(&piece, 1, piece.count, file), count > 0 {
            bytes += piece[..<count]
        }
        return bytes
    }

    /// A certificate for this machine, and its key.
    static func certificate(in folder: TemporaryFolder, name: String) throws -> [String]? {
        let paths = ["\(folder.path)/certificate.pem", "\(folder.path)/key.pem"]
        let made = try output(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=\(name)", "-addext",
                "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1],
            ]
        )
        return made == nil ? nil : paths
    }
}
#endif
