// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import SystemPackage

/// This process as a worker: it says hello, runs call after call, and ends with its pool.
struct Worker {
    private let seat: WorkerSeat

    init(_ seat: WorkerSeat) { self.seat = seat }

    /// Serves on a runtime that takes the process over, until the pool has no more calls.
    func takeOver(_ configuration: RuntimeConfiguration) -> Never {
        do {
            _ = try Runtime.runAsWorker(prepared(configuration)) { try await serve() }
        } catch {
            Thread.write("a worker can't start: \(error)\n", to: 2)
            Thread.exitProcess(ExitCode.configuration.rawValue)
        }
        Thread.exitProcess(0)
    }

    /// Serves on an embedded runtime, for a program whose main thread is its own.
    func embed(_ configuration: RuntimeConfiguration) async -> Never {
        do {
            try await withRuntime(prepared(configuration)) { _ in try await serve() }
        } catch {
            Thread.write("a worker can't start: \(error)\n", to: 2)
            Thread.exitProcess(ExitCode.configuration.rawValue)
        }
        Thread.exitProcess(0)
    }

    /// One loop, no signals, and nothing in the log that each worker would say again.
    private func prepared(_ configuration: RuntimeConfiguration) -> RuntimeConfiguration {
        configuration.with {
            $0.loops.count = 1
            $0.shutdown.signals = []
            $0.logger.logLevel = max($0.logger.logLevel, .warning)
            $0.typedKnobs.formUnion(["loops.count", "shutdown.signals", "logger.logLevel"])
        }
    }

    private func serve() async throws {
        let socket = WorkerSelf.socket
        Thread.name("noria worker")
        // A plain thread, since a call may compute for long: when the pool's process is gone, so is
        // this one.
        try WorkerSelf.endAtHangup(of: socket)
        if seat.isMemoryLimited {
            WorkerSelf.tellOfExhaustedMemory(on: socket, WorkerFrame(.outOfMemory).bytes)
        }
        guard let loop = EventLoop.current ?? Runtime.current?.eventLoops.main else { return }
        guard loop.isHome else { return try await loop.bring { try await serve(socket, on: loop) } }
        try await serve(socket, on: loop)
    }

    private func serve(_ socket: Int32, on loop: EventLoop) async throws {
        let channel = try StreamChannel(
            socket,
            on: loop,
            limits: StreamLimits(),
            options: SocketOptions(noDelay: false)
        )
        let (inbound, outbound) = (InboundBytes(channel: channel), OutboundBytes(channel: channel))
        var parser = WorkerFrameParser(byteCountLimit: seat.frameByteCountLimit)
        try await outbound.write(WorkerFrame(.hello).bytes)
        while let chunk = try await inbound.next() {
            chunk.withUnsafeBytes { parser.append($0) }
            while let frame = try parser.next() {
                try await outbound.write(await answer(to: frame).bytes)
            }
        }
    }

    private func answer(to frame: WorkerFrame) async -> WorkerFrame {
        guard frame.kind == .call, let call = WorkerCall(frame.payload) else {
            return WorkerFrame(.notCoded, text: "the worker was sent what is no call")
        }
        guard let type = _typeByName(call.typeName) as? any ProcessPool.Call.Type else {
            return WorkerFrame(.notFound, text: call.typeName)
        }
        let answer = await run(type, call.coding)
        guard answer.payload.count < seat.frameByteCountLimit else {
            return WorkerFrame(.tooLarge, text: "\(answer.payload.count)")
        }
        return answer
    }

    private func run<C: ProcessPool.Call>(_ type: C.Type, _ coding: [UInt8]) async -> WorkerFrame {
        let call: C
        do { call = try CallCoding.decode(type, from: coding) } catch {
            return WorkerFrame(.notCoded, text: "it can't be decoded in the worker: \(error)")
        }
        let output: C.Output
        do { output = try await call.run() } catch {
            return WorkerFrame(.thrown, text: "\(error)")
        }
        do { return WorkerFrame(.result, try CallCoding.encode(output)) } catch {
            return WorkerFrame(.notCoded, text: "its result can't be encoded: \(error)")
        }
    }
}
