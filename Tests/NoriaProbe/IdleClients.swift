// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Plain sockets that connect, send a byte, read it back, and then say nothing: `PORT COUNT`.
enum IdleClients {
    static func run() {
        let numbers = CommandLine.arguments.dropFirst(2).compactMap { Int($0) }
        guard numbers.count == 2 else { exit(64) }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        for index in 0..<numbers[1] {
            guard echoes(port: numbers[0]) else {
                print("failed at \(index): \(String(cString: strerror(errno)))")
                exit(1)
            }
        }
        print("connected: \(numbers[1])")
        fflush(nil)
        while true { pause() }
    }

    private static func echoes(port: Int) -> Bool {
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
        return result == 0 && send(fd, &byte, 1, 0) == 1 && recv(fd, &byte, 1, 0) == 1
    }
}
