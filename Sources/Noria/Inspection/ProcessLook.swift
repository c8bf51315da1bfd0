// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// All that was seen of a process: what the rows of its report are made from.
struct ProcessLook: Sendable {
    /// What the program's file says; it may have been stripped of it.
    struct Program: Sendable {
        var isGo = false
        var goVersion: String?
        /// Whether Go's `signal.Notify` is in it; nil where that can't be told.
        var hasGoNotify: Bool?
        var isPython = false
        var isNode = false
        var hasSwiftNIO = false
        var hasNoria = false
        var isReadable = false
    }

    /// Processor time of the tightest control group.
    struct Throttling: Sendable {
        var periods = 0
        var throttled = 0
    }

    let folder: ProcessFolder
    let status: [String: String]
    let commandLine: [String]
    let environment: [String: String]
    let executable: String
    let mapped: [String]
    let descriptors: ProcessDescriptors
    let program: Program
    let before: ProcessThreads
    let after: ProcessThreads
    let activity: ThreadActivity
    /// The threads that are known to run a loop, and where they were found.
    let loopThreads: [Int32]
    let loopPlaces: LoopPlaces
    /// At the begin and, where a socket waited for its close then, at the end.
    let sockets: SocketTable
    let laterSockets: SocketTable?
    let throttling: (before: Throttling, after: Throttling)?
    /// At the begin, where it was whole, and at the end.
    var earlierSnapshot: PublishedSnapshot?
    var snapshot: Result<PublishedSnapshot, Machine.Unseen>?
    let kind: ProcessKind
    let kindEvidence: String

    var name: String { status["Name"] ?? "?" }
    var groups: ControlGroups { ControlGroups(folder.machine, of: "\(folder.processID)") }
    /// Whether it is the first process of its PID namespace, which the kernel keeps signals from
    /// that it has no handler for.
    var isFirst: Bool {
        status["NSpid"]?.split(whereSeparator: \.isWhitespace).last == "1"
    }
    var published: PublishedSnapshot? { try? snapshot?.get() }

    /// Looks, waits `sample`, and looks again at what moves.
    init(_ folder: ProcessFolder, sample: Duration) throws(ProcessRefusal) {
        self.folder = folder
        let status = try folder.status()
        self.status = status
        do throws(Machine.Unseen) {
            descriptors = try ProcessDescriptors(folder)
            environment = try folder.variables()
            commandLine = try folder.words("cmdline")
            mapped = try folder.mappedFiles()
            before = try ProcessThreads(folder)
        } catch {
            throw folder.refusal(status)
        }
        executable = folder.link("exe") ?? ""
        program = Program(folder)
        (kind, kindEvidence) = ProcessKind.find(
            program,
            executable: executable,
            mapped,
            descriptors,
            before
        )
        loopThreads = kind.loopThreads(folder.processID, before)
        sockets = folder.sockets()
        let group = ControlGroups(folder.machine, of: "\(folder.processID)").processorQuota().folder
        let throttled = group.map { Self.throttling(folder.machine, $0) }
        let own = status["NSpid"]?.split(whereSeparator: \.isWhitespace).last.flatMap { Int32($0) }
        earlierSnapshot = descriptors.snapshot.flatMap {
            try? Self.snapshot(folder, $0, own: own).get()
        }
        loopPlaces = Self.sample(folder, loopThreads, kind, sample)
        let later = try? ProcessThreads(folder)
        after = later ?? before
        activity = ThreadActivity(from: before, to: after)
        throttling = group.flatMap { group in
            throttled.map { ($0, Self.throttling(folder.machine, group)) }
        }
        laterSockets =
            sockets.closeWait.isDisjoint(with: descriptors.sockets) ? nil : folder.sockets()
        snapshot = descriptors.snapshot.map { Self.snapshot(folder, $0, own: own) }
        guard folder.machine.exists(folder.path("status")) else { throw folder.refusal(status) }
    }

    /// Looks at the loops' threads 20 times, at 16 of them.
    private static func sample(
        _ folder: ProcessFolder,
        _ threads: [Int32],
        _ kind: ProcessKind,
        _ length: Duration
    ) -> LoopPlaces {
        var places: [Int32: LoopPlaces] = [:]
        let begin = MonotonicClock.now
        for step in 1...20 {
            for thread in threads.prefix(16) {
                places[thread, default: LoopPlaces()].look(folder, thread)
            }
            let due = begin &+ UInt64(length.nanoseconds / 20 * Int64(step))
            let now = MonotonicClock.now
            if now < due { Thread.sleep(nanoseconds: Int64(due - now)) }
        }
        // Any thread of Python's may run the loop: it is one that waits for its events now and then.
        let isAny = (kind == .asyncio || kind == .uvloop) && threads.count > 1
        return places.values.reduce(into: LoopPlaces()) { all, one in
            if !isAny || one.inEpoll > 0 { all.add(one) }
        }
    }

    private static func throttling(_ machine: Machine, _ group: String) -> Throttling {
        let numbers = ProcessFolder.pairs(
            ((try? machine.text(ifThere: "\(group)/cpu.stat")) ?? nil) ?? "",
            " "
        )
        return Throttling(
            periods: numbers["nr_periods"].flatMap { Int($0) } ?? 0,
            throttled: numbers["nr_throttled"].flatMap { Int($0) } ?? 0
        )
    }

    /// Reads it until it is whole: it is written in less than a millisecond.
    private static func snapshot(
        _ folder: ProcessFolder,
        _ name: String,
        own processID: Int32?
    ) -> Result<PublishedSnapshot, Machine.Unseen> {
        Result { () throws(Machine.Unseen) in
            for _ in 0..<20 {
                let path = folder.machine.root + folder.path(name)
                guard
                    let bytes = try? SystemFile.bytes(ofMemory: PublishedSnapshot.name, at: path)
                else { break }
                guard let snapshot = try PublishedSnapshot.read(bytes) else {
                    Thread.sleep(nanoseconds: 1_000_000)
                    continue
                }
                guard processID == nil || processID == snapshot.processID else {
                    throw Machine.Unseen(
                        reason: "its snapshot is that of process \(snapshot.processID), which has"
                            + " forked it off"
                    )
                }
                return snapshot
            }
            throw Machine.Unseen(
                reason: "its snapshot (\(folder.path(name))) is not whole: it begins or ends,"
                    + " was stopped while it wrote, or may write no file of that size (ulimit -f)"
            )
        }
    }
}

extension ProcessLook.Program {
    init(_ folder: ProcessFolder) {
        guard let file = ExecutableFile(folder.machine.root + folder.path("exe")) else { return }
        isReadable = true
        isGo = file.isGo
        if isGo {
            goVersion = file.goVersion
            // The table of functions, which Go needs itself and no stripping takes.
            hasGoNotify =
                file.holds("os/signal.Notify", in: ".gopclntab")
                ?? file.holds("os/signal.Notify", in: ".data.rel.ro.gopclntab")
            return
        }
        isPython = file.holds("Py_BytesMain", in: ".dynstr") ?? false
        isNode = file.holds("node_module_register", in: ".dynstr") ?? false
        hasSwiftNIO = file.holds("$s8NIOPosix", in: ".strtab") ?? false
        hasNoria = file.holds("$s5Noria", in: ".strtab") ?? false
    }
}
