// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Gives its text back, and the process that did.
struct EchoCall: ProcessPool.Call {
    var text: String
    func run() -> [String] { [text, "\(getpid())"] }
}

/// Does what its name says, with or without an end.
struct FateCall: ProcessPool.Call {
    enum Fate: String, Codable {
        case trap, kill, exit, throwing, sleep, spin, greedy, talk, scribble, large, abort,
            descriptors
    }
    var fate: Fate
    var number = 0

    struct Mistake: Error {}

    func run() async throws -> String {
        switch fate {
        case .trap: fatalError("the call trapped on purpose")
        case .kill: kill(getpid(), SIGKILL)
        case .exit: Glibc.exit(Int32(number))
        case .throwing: throw Mistake()
        case .sleep: try await Task.sleep(for: .milliseconds(number))
        case .spin: while getppid() > 0 {}
        case .greedy: return "\(greed())"
        case .talk:
            print("said on standard output")
            Glibc.abort()
        case .scribble: _ = write(3, "nonsense that is no frame", 25)
        case .large: return String(repeating: "x", count: number)
        case .abort: Glibc.abort()
        case .descriptors: return Self.descriptors
        }
        return "\(fate)"
    }

    /// What is open that a worker has not opened itself: by what it is.
    private static var descriptors: String {
        (0..<1024).compactMap { (fd: Int) -> String? in
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/fd/\(fd)", &buffer, buffer.count)
            guard count > 0 else { return nil }
            let bytes = buffer[..<count].map(UInt8.init(bitPattern:))
            let target = String(decoding: bytes, as: UTF8.self).prefix { $0 != ":" }
            return target == "anon_inode" ? nil : "\(fd)=\(target)"
        }
        .joined(separator: " ")
    }

    private func greed() -> Int {
        var sum = 0
        for count in 1...100_000 {
            let block = UnsafeMutablePointer<Int>.allocate(capacity: 1 << 17)
            block.initialize(repeating: count, count: 1 << 17)
            sum += block[count % 1000]
        }
        return sum
    }
}

private struct HiddenCall: ProcessPool.Call {
    func run() -> Int { 1 }
}

/// As generic as a call can be.
struct BoxCall<Value: Codable & Sendable>: ProcessPool.Call {
    var value: Value
    func run() -> Value { value }
}

enum PoolCalls {
    static func hidden(_ pool: ProcessPool) async throws { _ = try await pool.run(HiddenCall()) }

    /// The kind of what a call throws, or what it gives.
    static func outcome<C: ProcessPool.Call>(
        _ call: C,
        _ pool: ProcessPool,
        timeout: Duration? = nil
    ) async -> String {
        do { return "\(try await pool.run(call, timeout: timeout))" } catch let error
            as ProcessPoolError
        {
            return "\(error.kind)"
        } catch { return "\(error)" }
    }
}
