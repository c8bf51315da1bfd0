// SPDX-License-Identifier: Apache-2.0

/// The fourth step: what SIGTERM does, as far as the masks of signals prove it.
extension ProcessRow {
    static func shutdown(_ look: ProcessLook) -> ProcessRow {
        let supervisor = look.supervisor
        func row(
            _ state: MachineCheck.State,
            _ finding: String,
            _ evidence: String = "status: SigCgt, SigIgn, SigBlk",
            advice: String? = nil
        ) -> ProcessRow {
            let text = "\(finding)\(look.interruptText)" + (supervisor.map { "; \($0.text)" } ?? "")
            let words = [advice, supervisor?.advice].compactMap(\.self).joined(separator: "; ")
            return ProcessRow(
                "shutdown",
                state,
                text,
                evidence: supervisor == nil ? evidence : evidence + ", cgroup",
                advice: words.isEmpty ? nil : words
            )
        }
        guard let signal = look.signal(15) else {
            return row(.unknown, "status has no masks of signals")
        }
        if look.descriptors.signalMask & Self.bit(15) != 0 {
            return row(
                handled(look),
                "SIGTERM is taken by a signalfd\(look.courseText)",
                "fdinfo: sigmask of a signalfd"
            )
        }
        switch signal {
        case .ignored:
            return row(
                .change,
                "SIGTERM is ignored: only SIGKILL ends it, and cuts connections off",
                advice: look.handlerAdvice
            )
        case .blocked:
            return row(
                .unknown,
                "SIGTERM is blocked: a thread may wait for it by sigwait, or nobody takes it",
                advice: "look into the code"
            )
        case .standard where look.isFirst:
            return row(
                .change,
                "nothing: it is process 1 of its container, whom the kernel keeps SIGTERM from"
                    + " without a handler; SIGKILL comes when the stop time is over",
                "status: SigCgt, NSpid",
                advice: "\(look.handlerAdvice), or at least an init before it (docker run --init)"
            )
        case .standard:
            return row(
                .change,
                "SIGTERM ends it at once: connections and work in hand are cut off",
                advice: look.handlerAdvice
            )
        case .caught: return caught(look, row)
        }
    }

    /// `bits`: the signal's place in a mask.
    private static func bit(_ signal: Int) -> UInt64 { 1 << UInt64(signal - 1) }

    private static func handled(_ look: ProcessLook) -> MachineCheck.State {
        look.kind == .unknown ? .unknown : .ok
    }

    private static func caught(
        _ look: ProcessLook,
        _ row: (MachineCheck.State, String, String, String?) -> ProcessRow
    ) -> ProcessRow {
        let masks = "status: SigCgt"
        switch look.kind {
        case .noria:
            guard let check = look.check("signals and deadline") else {
                return row(.ok, "SIGTERM is caught; \(look.snapshotGap)", masks, nil)
            }
            return row(
                check.isOK ? .ok : .change,
                "SIGTERM is caught: \(check.finding)\(look.courseText)",
                "\(masks); its snapshot",
                check.advice
            )
        case .asyncio, .uvloop, .python, .swiftNIO, .noriaWorker:
            return row(.ok, "SIGTERM has a handler; what it does can't be seen", masks, nil)
        case .node:
            return row(
                .unknown,
                "SIGTERM is caught, which proves nothing: Node itself does so to restore terminals",
                masks,
                "search the code for process.on('SIGTERM', …) that calls server.close()"
            )
        case .go where look.program.hasGoNotify == false:
            return row(
                .change,
                "SIGTERM ends it at once: signal.Notify is not in the program (that Go's runtime"
                    + " catches every signal proves nothing)",
                "exe: .gopclntab; \(masks)",
                look.handlerAdvice
            )
        case .go where look.program.hasGoNotify == nil:
            return row(
                .unknown,
                "Go's runtime catches every signal; whether signal.Notify is in the program can't be"
                    + " told, since its file has no headers of sections",
                "exe; \(masks)",
                "search the code for signal.NotifyContext(ctx, syscall.SIGTERM) and server.Shutdown"
            )
        case .go:
            return row(
                .unknown,
                "Go's runtime catches every signal; signal.Notify is in the program, for which"
                    + " signals can't be seen",
                "exe: .gopclntab; \(masks)",
                "search the code for signal.NotifyContext(ctx, syscall.SIGTERM) and server.Shutdown"
            )
        case .unknown:
            return row(
                .unknown,
                "SIGTERM is caught, by the program or by its runtime; what that does can't be seen",
                masks,
                "try it: a client in the middle of a request must get its answer"
            )
        }
    }
}

extension ProcessLook {
    enum Disposition {
        case caught, ignored, blocked, standard
    }

    /// What becomes of a signal; a handler counts before the mask of the first thread, since other
    /// threads may take it.
    func signal(_ number: Int) -> Disposition? {
        func has(_ name: String) -> Bool? {
            status[name].flatMap { UInt64($0, radix: 16) }.map { $0 >> UInt64(number - 1) & 1 == 1 }
        }
        guard let caught = has("SigCgt"), let ignored = has("SigIgn"), let blocked = has("SigBlk")
        else { return nil }
        return caught ? .caught : ignored ? .ignored : blocked ? .blocked : .standard
    }

    /// What SIGINT does where that differs from what one expects.
    fileprivate var interruptText: String {
        switch signal(2) {
        case .ignored: "; SIGINT is ignored"
        case .caught: "; SIGINT is caught"
        default: ""
        }
    }

    fileprivate var courseText: String {
        guard let published, published.snapshot.phase != .running else { return "" }
        return "; it is under way: \(published.snapshot.phase.rawValue)"
    }

    fileprivate var handlerAdvice: String {
        switch kind {
        case .asyncio, .uvloop, .python:
            "loop.add_signal_handler(signal.SIGTERM, …) that closes the server and awaits what is in"
                + " hand"
        case .node: "process.on('SIGTERM', () => server.close())"
        case .go: "signal.NotifyContext(ctx, syscall.SIGTERM), then server.Shutdown"
        case .swiftNIO:
            "ServiceGroup(gracefulShutdownSignals: [.sigterm]) of swift-service-lifecycle, or"
                + " ServerQuiescingHelper"
        case .noria: "Runtime.main takes it; an embedded runtime leaves it to the program"
        case .noriaWorker: "its pool ends it"
        case .unknown: "a handler of SIGTERM that ends in order"
        }
    }

    /// Who stops the process, as its control group says.
    fileprivate var supervisor: (text: String, advice: String)? {
        guard let text = try? folder.machine.text(folder.path("cgroup")) else { return nil }
        let parts = text.split(whereSeparator: { $0 == "/" || $0 == "\n" })
        if let unit = parts.last(where: { $0.hasSuffix(".service") && !$0.hasPrefix("user@") }) {
            return (
                "systemd stops it as \(unit)",
                "'systemctl show -p TimeoutStopUSec \(unit)' tells how long it may take"
            )
        }
        for (part, name, advice) in [
            ("kubepods", "Kubernetes", "terminationGracePeriodSeconds (30 s) bounds its end"),
            ("docker", "Docker", "'docker stop' waits 10 s, with -t N for N s"),
            ("libpod", "Podman", "'podman stop' waits 10 s, with -t N for N s"),
        ] where parts.contains(where: { $0.contains(part) }) {
            return ("\(name) stops it", advice)
        }
        return nil
    }
}
