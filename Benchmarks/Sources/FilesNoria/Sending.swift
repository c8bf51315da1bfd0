// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Files of 1 MiB over a loopback connection to a process that takes and drops them.
struct Sending {
    let file: File
    let fd: Int32
    let way: String

    static let byteCount = 1_048_576
    private static let pieceByteCount = 131_072

    func run(_ count: Int, _ runtime: Runtime) async throws -> Measurement {
        let warm = count / 10 + 1
        let drain = Drain(byteCount: (warm + count) * Self.byteCount)
        var measurement = Measurement()
        try await withTCPConnection(host: "127.0.0.1", port: drain.port) { connection in
            for _ in 0..<warm { try await send(connection, runtime) }
            let (begin, processor) = (now(), now(CLOCK_PROCESS_CPUTIME_ID))
            for _ in 0..<count {
                let begin = now()
                try await send(connection, runtime)
                measurement.latencies.append(now() - begin)
            }
            try await connection.outbound.flush()
            measurement.processorNanoseconds = now(CLOCK_PROCESS_CPUTIME_ID) - processor
            measurement.nanoseconds = now() - begin
        }
        drain.join()
        return measurement
    }

    private func send(_ connection: TCPConnection, _ runtime: Runtime) async throws {
        if way == "send-file" {
            let sent = try await connection.outbound.write(contentsOf: file)
            guard sent == Self.byteCount else { fail("a short file") }
            return
        }
        for offset in stride(from: 0, to: Self.byteCount, by: Self.pieceByteCount) {
            let bytes =
                way == "send-copy"
                ? try await file.read(at: offset, count: Self.pieceByteCount)
                : try await runtime.read(fd, at: offset, count: Self.pieceByteCount)
            try await connection.outbound.write(bytes)
        }
    }
}

/// A process that accepts one connection and drops what comes, in the kernel (`MSG_TRUNC`): what it
/// uses is none of ours.
struct Drain {
    let port: Int
    private let child: pid_t

    init(byteCount: Int) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 1) == 0
                    ? getsockname(listener, $0, &size) : -1
            }
        }
        guard listener >= 0, result == 0 else { fail("no listener") }
        port = Int(UInt16(bigEndian: address.sin_port))
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        // The listener is the child's standard input.
        posix_spawn_file_actions_adddup2(&actions, listener, 0)
        let words = ["files-noria", "drain", "\(byteCount)"]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var child = pid_t()
        guard posix_spawn(&child, "/proc/self/exe", &actions, nil, &arguments, environ) == 0
        else {
            fail("no child")
        }
        close(listener)
        self.child = child
    }

    func join() {
        var status: Int32 = 0
        guard waitpid(child, &status, 0) == child, status == 0 else { fail("the drain") }
    }

    /// What the child does.
    static func run(_ byteCount: Int) -> Never {
        let connection = accept(0, nil, nil)
        var left = byteCount
        while left > 0 {
            // tcp(7): with MSG_TRUNC the bytes are dropped, and nothing is written.
            let count = recv(connection, nil, 1 << 20, Int32(MSG_TRUNC))
            guard count > 0 else { fail("the drain's connection ended") }
            left -= count
        }
        exit(0)
    }
}
