// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport

@testable import Noria
@testable import NoriaSystem

/// A process made of files: 77 in the /proc of a machine fixture.
struct ProcessFixture {
    let machine: MachineFixture
    private static let folder = "/proc/77"

    /// A Python service over asyncio that takes SIGTERM, in good order.
    init(_ files: [String: String] = [:], links: [String: String] = [:]) throws {
        machine = try MachineFixture()
        for (name, text) in Self.plain.merging(files, uniquingKeysWith: { $1 }) {
            try write(text, to: name)
        }
        for (name, target) in Self.plainLinks.merging(links, uniquingKeysWith: { $1 }) {
            try link(name, to: target)
        }
    }

    func write(_ text: String, to name: String) throws {
        try machine.write(text, to: "\(Self.folder)/\(name)")
    }

    func remove(_ name: String) { machine.remove("\(Self.folder)/\(name)") }

    /// Makes a symbolic link, as `fd/3` and `exe` are; an empty target takes it away.
    func link(_ name: String, to target: String) throws {
        let path = "\(machine.root)\(Self.folder)/\(name)"
        mkdir("\(machine.root)\(Self.folder)/fd", 0o700)
        unlink(path)
        guard !target.isEmpty else { return }
        guard symlink(target, path) == 0 else { throw ChildProcess.Failure("no link \(path)") }
    }

    /// A thread's files.
    func thread(
        _ number: Int,
        named name: String,
        state: Character = "S",
        in place: String = "ep_poll",
        switches: Int = 0
    ) throws {
        try write(
            "Name:\t\(name)\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t\(switches)\n",
            to: "task/\(number)/status"
        )
        try write("\(number) (a) b)) \(state) 1 77\n", to: "task/\(number)/stat")
        try write(place, to: "task/\(number)/wchan")
        try write("1000000 2000000 5\n", to: "task/\(number)/schedstat")
    }

    func folder(
        user: UInt32 = 1000,
        isProcess: @escaping @Sendable (Int32) -> Bool = { _ in true }
    ) -> ProcessFolder {
        ProcessFolder(
            machine: machine.machine,
            processID: 77,
            isProcess: isProcess,
            userID: user
        )
    }

    func look() throws -> ProcessLook { try ProcessLook(folder(), sample: .zero) }
    func report() throws -> ProcessReport { ProcessReport(try look()) }

    func row(_ name: String) throws -> ProcessRow {
        guard let row = try report().rows.first(where: { $0.name == name }) else {
            throw ChildProcess.Failure("no row \(name)")
        }
        return row
    }

    /// A status whose masks have these signals.
    static func status(
        caught: [Int] = [],
        ignored: [Int] = [],
        blocked: [Int] = [],
        other: String = "NSpid:\t77\nTracerPid:\t0\nState:\tS (sleeping)\n"
    ) -> String {
        func mask(_ signals: [Int]) -> String {
            String(signals.reduce(UInt64(0)) { $0 | 1 << UInt64($1 - 1) }, radix: 16)
        }
        return "Name:\tservice\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\nVmSize:\t9 kB\n\(other)"
            + "SigBlk:\t\(mask(blocked))\nSigIgn:\t\(mask(ignored))\nSigCgt:\t\(mask(caught))\n"
    }

    /// A head and lines of /proc/net/tcp: the port here, the state and the inode of each.
    static func sockets(_ lines: [(port: Int, state: String, inode: Int)]) -> String {
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
            + lines.enumerated().map { index, line in
                let port = String(line.port, radix: 16, uppercase: true)
                let padded = String(repeating: "0", count: 4 - port.count) + port
                return "   \(index): 0100007F:\(padded) 00000000:0000 \(line.state)"
                    + " 00000000:00000000 00:00000000 00000000  1000        0 \(line.inode) 1 0\n"
            }.joined()
    }

    static let asyncioLibrary = "/usr/lib/python3.11/lib-dynload/_asyncio.cpython-311.so"
    static let uvloopLibrary = "/usr/lib/python3/uvloop/loop.cpython-311.so"

    static func maps(_ files: [String]) -> String {
        files.map { "7f00-7f01 r--p 00000000 08:01 1234       \($0)\n" }.joined()
            + "7ffc-7ffd rw-p 00000000 00:00 0           [stack]\n"
    }

    private static let plain = [
        "status": status(caught: [15]),
        "cmdline": "python3\0service.py\0",
        "environ": "PATH=/bin\0LANG=C\0",
        "maps": maps(["/none/python3.11", asyncioLibrary]),
        "limits": "Limit                     Soft Limit           Hard Limit           Units     \n"
            + "Max processes             4000                 4000                 processes \n"
            + "Max open files            65536                65536                files     \n",
        "cgroup": "",
        "net/tcp": sockets([(8080, "0A", 500)]),
        "task/77/status": "Name:\tpython3\nvoluntary_ctxt_switches:\t9\n"
            + "nonvoluntary_ctxt_switches:\t3\n",
        "task/77/stat": "77 (python3) S 1 77\n",
        "task/77/wchan": "ep_poll",
        "task/77/schedstat": "1000000 2000000 5\n",
    ]

    private static let plainLinks = [
        "exe": "/none/python3.11", "fd/0": "/dev/null", "fd/3": "anon_inode:[eventpoll]",
        "fd/4": "socket:[500]", "fd/5": "socket:[501]",
    ]
}
