// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import Testing

@testable import Noria

@Suite("NetworkError says what failed, on what, why, and what to do")
struct NetworkErrorTests {
    @Test("One sentence has operation, address, reason and the kernel's name")
    func sentence() throws {
        let address = try SocketAddress("10.0.0.7:5432")
        let error = NetworkError(errno: .connectionRefused, "connect to", address: address)
        let sentence =
            "connect to 10.0.0.7:5432: connection refused: nobody listens there (ECONNREFUSED)"
        #expect("\(error)" == sentence)
        let advised = NetworkError(
            errno: .permissionDenied,
            "listen on",
            advice: "use another port"
        )
        #expect("\(advised)" == "listen on: permission denied (EACCES); use another port")
    }

    @Test("Several attempts are all kept, each on its line")
    func causes() {
        let first = NetworkError(errno: .connectionRefused, "connect to a")
        let second = NetworkError(errno: .timedOut, "connect to b")
        let error = NetworkError(.unreachable, "connect", causes: [first, second])
        let lines = "\(error)".split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[1].contains("ECONNREFUSED"))
        #expect(lines[2].contains("ETIMEDOUT"))
    }

    @Test(
        "Errors of the kernel are told apart as a program needs it",
        arguments: [
            (Errno.addressInUse, NetworkError.Kind.addressInUse),
            (.permissionDenied, .permissionDenied),
            (.notPermitted, .permissionDenied), (.connectionRefused, .refused),
            (.networkUnreachable, .unreachable), (.noRouteToHost, .unreachable),
            (.connectionReset, .reset), (.brokenPipe, .closed), (.badFileDescriptor, .closed),
            (.timedOut, .timedOut), (.tooManyOpenFiles, .descriptorsExhausted),
            (.tooManyOpenFilesInSystem, .descriptorsExhausted), (.ioError, .other),
        ]
    )
    func kinds(errno: Errno, kind: NetworkError.Kind) {
        let error = NetworkError(errno: errno, "try")
        #expect(error.kind == kind)
        #expect(error.errno == errno)
    }

    @Test("An error without a word of ours has the system's")
    func other() {
        #expect("\(NetworkError(errno: .ioError, "read from"))".contains("(EIO)"))
    }
}
