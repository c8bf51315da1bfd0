// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Plain sockets that connect, send a byte, read it back, and then say nothing: `PORT COUNT`.
///
/// With `closing` behind them, each closes when its stream ends, and how many ended is printed.
enum IdleClients {
    static func run() {
        let numbers = CommandLine.arguments.dropFirst(2).compactMap { Int($0) }
        guard numbers.count == 2 else { exit(64) }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        var waiting: [Int32] = []
        var connected: [Int32] = []
        // Many at a time: a server on poll(2) looks at all of them in each turn.
        for index in 0..<numbers[1] {
            guard let fd = connection(port: numbers[0]) else { fail("connect", index) }
            waiting.append(fd)
            connected.append(fd)
            if waiting.count == 500 || index == numbers[1] - 1 { readAnswers(&waiting, index) }
        }
        print("connected: \(numbers[1])")
        fflush(nil)
        if CommandLine.arguments.last == "closing" { closeAtEnd(connected) }
        while true { pause() }
    }

    private static func readAnswers(_ waiting: inout [Int32], _ index: Int) {
        for fd in waiting {
            var byte: UInt8 = 0
            guard recv(fd, &byte, 1, 0) == 1, byte == 1 else { fail("receive", index) }
        }
        waiting = []
    }

    /// Answers each end by closing, in the order in which they come.
    private static func closeAtEnd(_ open: [Int32]) -> Never {
        var watched = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while !watched.isEmpty {
            guard poll(&watched, nfds_t(watched.count), 20_000) > 0 else { fail("poll", 0) }
            for entry in watched where entry.revents != 0 {
                var byte: UInt8 = 0
                guard recv(entry.fd, &byte, 1, 0) == 0 else { fail("the end", Int(entry.fd)) }
                close(entry.fd)
            }
            watched.removeAll { $0.revents != 0 }
        }
        print("ended: \(open.count)")
        exit(0)
    }

    private static func fail(_ what: String, _ index: Int) -> Never {
        print("\(what) failed at \(index): \(String(cString: strerror(errno)))")
        exit(1)
    }

    private static func connection(port: Int) -> Int32? {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        var byte: UInt8 = 1
        return result == 0 && send(fd, &byte, 1, 0) == 1 ? fd : nil
    }
}
