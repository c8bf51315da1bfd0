// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// The descriptors of a process, by what they are.
struct ProcessDescriptors: Sendable {
    /// Those whose kind is looked at; all are counted.
    static let lookLimit = 131_072
    private static let signalLimit = 64

    private(set) var count = 0
    private(set) var sockets: Set<UInt64> = []
    /// How many there are of each kind of the kernel's own: `eventpoll`, `io_uring`, `eventfd`.
    private(set) var kernelKinds: [String: Int] = [:]
    /// The signals that descriptors of `signalfd` take, as a mask.
    private(set) var signalMask: UInt64 = 0
    /// The one that holds a runtime's snapshot.
    private(set) var snapshot: String?

    var hasEpoll: Bool { kernelKinds["eventpoll", default: 0] > 0 }
    var hasIOUring: Bool { kernelKinds["io_uring", default: 0] > 0 }

    /// `2 eventpoll, 1 io_uring`, or `neither eventpoll nor io_uring`.
    var loopText: String {
        let parts = ["eventpoll", "io_uring"].compactMap { kind in
            kernelKinds[kind].map { "\($0) \(kind)" }
        }
        return parts.isEmpty ? "neither eventpoll nor io_uring" : parts.joined(separator: ", ")
    }

    init() {}

    init(_ folder: ProcessFolder) throws(Machine.Unseen) {
        let names = try folder.names(in: "fd")
        count = names.count
        var signalCount = 0
        for name in names.prefix(Self.lookLimit) {
            guard let link = folder.link("fd/\(name)") else { continue }
            if link.hasPrefix("socket:[") {
                if let inode = UInt64(link.dropFirst(8).dropLast()) { sockets.insert(inode) }
            } else if link.hasPrefix("anon_inode:") {
                // `anon_inode:[eventpoll]`
                let kind = link.dropFirst(11).filter { $0 != "[" && $0 != "]" }
                kernelKinds[kind, default: 0] += 1
                if kind == "signalfd", signalCount < Self.signalLimit {
                    signalCount += 1
                    let text = try? folder.machine.text(folder.path("fdinfo/\(name)"))
                    let mask = ProcessFolder.pairs(text ?? "", ":")["sigmask"]
                    signalMask |= mask.flatMap { UInt64($0, radix: 16) } ?? 0
                }
            } else if link == SystemFile.memoryLink(PublishedSnapshot.name) {
                snapshot = "fd/\(name)"
            }
        }
    }
}
