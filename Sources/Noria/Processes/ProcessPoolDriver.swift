// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// Does what `ProcessPoolState` says: processes, sockets, timers, continuations.
///
/// SAFETY (`@unchecked Sendable`): every stored property but constants and `published` belongs to
/// the loop's thread; what other threads call posts to the loop.
final class ProcessPoolDriver: @unchecked Sendable {
    typealias CallID = ProcessPoolState.CallID
    typealias WorkerID = ProcessPoolState.WorkerID

    /// A call that waits, or runs.
    struct PendingCall {
        let name: String
        let frame: [UInt8]
        let timeout: Duration?
        let parked: Parked<Answer>
        var timer: TimerID?
        /// When it was given to a worker.
        var sent: UInt64 = 0
    }

    typealias Answer = Result<[UInt8], any Error>

    let loop: EventLoop
    let configuration: ProcessPool.Configuration
    private let logger: Logger
    /// As other threads see it.
    let published: Guarded<ProcessPoolCounts>
    /// From the sending of a call to its result, for calls that have one.
    let roundTrip = Histogram()

    private var state: ProcessPoolState
    var calls: [CallID: PendingCall] = [:]
    var workers: [WorkerID: WorkerProcess] = [:]
    var present: [WorkerID: CallID] = [:]
    private var lastCall: CallID = 0
    private var failureCount: UInt64 = 0
    /// Why the last start failed, and which worker was ended for what it said.
    var startFailure = ""
    private var blames: [WorkerID: ProcessPoolError] = [:]
    private var helloTimers: [WorkerID: TimerID] = [:]
    /// The threads that start workers, and those of the latter that are to be killed at once.
    private var starting: [WorkerID: Thread.Joinable] = [:]
    private var killed: Set<WorkerID> = []
    private var wakeTimer: TimerID?
    private var drainWaiters: [(last: CallID, parked: Parked<Void>)] = []
    private var closeWaiters: [Parked<Void>] = []
    private var isClosed = false
    private lazy var timers = DriverTimers(self)

    init(
        loop: EventLoop,
        configuration: ProcessPool.Configuration,
        logger: Logger,
        isClosed: Bool
    ) {
        self.loop = loop
        self.configuration = configuration
        self.logger = logger
        state = ProcessPoolState(
            ProcessPoolState.Limits(
                workerCount: max(1, configuration.workerCount),
                queueLimit: max(1, configuration.queueLimit),
                killsCancelled: configuration.whenCancelled == .killWorker
            )
        )
        published = Guarded(ProcessPoolCounts(state, failures: 0))
        guard isClosed else { return }
        _ = state.close(now: 0)
        self.isClosed = true
    }

    private var now: UInt64 { MonotonicClock.now }

    // MARK: Calls

    /// Gives a call to a worker and waits for what comes of it.
    ///
    /// Loop thread only.
    func run(_ name: String, _ frame: [UInt8], timeout: Duration?) async -> Answer {
        lastCall += 1
        let id = lastCall
        return await loop.park { parked in
            var call = PendingCall(name: name, frame: frame, timeout: timeout, parked: parked)
            guard !Task.isCancelled else {
                return parked.resume(returning: .failure(CancellationError()), on: loop)
            }
            if let timeout {
                call.timer = loop.timers.add(
                    deadline: now &+ UInt64(max(0, timeout.nanoseconds)),
                    owner: timers,
                    context: DriverTimers.context(.call, id)
                )
            }
            calls[id] = call
            apply(state.submit(id, now: now))
        } onCancel: {
            guard self.calls[id] != nil else { return }
            self.apply(self.state.cancel(id, now: self.now))
        }
    }

    private func answer(_ id: CallID, _ answer: Answer) {
        guard let call = calls.removeValue(forKey: id) else { return }
        if let timer = call.timer { loop.timers.cancel(timer) }
        if case .failure = answer { failureCount &+= 1 }
        call.parked.resume(returning: answer, on: loop)
        if !drainWaiters.isEmpty { releaseDrainWaiters() }
    }

    // MARK: Waiting

    /// Waits until the calls that wait or run now have ended; later ones keep nobody.
    ///
    /// Loop thread only.
    func waitForPresentCalls() async {
        guard !calls.isEmpty else { return }
        await withUnsafeContinuation {
            drainWaiters.append((lastCall, Parked($0, as: loop.currentRole)))
        }
    }

    private func releaseDrainWaiters() {
        let oldest = calls.keys.min() ?? .max
        for (last, waiter) in drainWaiters where last < oldest {
            waiter.resume(returning: (), on: loop)
        }
        drainWaiters.removeAll { $0.last < oldest }
    }

    /// Has every worker go and waits until the last was waited for.
    ///
    /// Loop thread only.
    func close() async {
        apply(state.close(now: now))
        guard !isClosed else { return }
        _ = loop.timers.add(
            deadline: now &+ Self.dismissalNanoseconds,
            owner: timers,
            context: DriverTimers.context(.dismissal, 0)
        )
        await withUnsafeContinuation { closeWaiters.append(Parked($0, as: loop.currentRole)) }
    }

    /// How long a worker that was told to go may take: it waits for nothing.
    private static let dismissalNanoseconds: UInt64 = 1_000_000_000

    /// Ends every worker now.
    ///
    /// Loop thread only.
    func abort() {
        apply(state.close(now: now))
        for worker in workers.values { worker.kill() }
    }

    /// After the last turn of the loop, when `close` was not reached.
    ///
    /// Loop thread only.
    func endNow() {
        for worker in workers.values { worker.endNow() }
        workers = [:]
    }

    // MARK: Effects

    private func apply(_ actions: [ProcessPoolState.Action]) {
        for action in actions { apply(action) }
        published.withLock { $0 = ProcessPoolCounts(state, failures: failureCount) }
    }

    private func apply(_ action: ProcessPoolState.Action) {
        switch action {
        case .start(let worker): start(worker)
        case .give(let call, let worker): give(call, to: worker)
        case .refuse(let call, let refusal): answer(call, .failure(error(refusal, call)))
        case .fail(let call, let worker): fail(call, by: worker)
        case .kill(let worker): kill(worker)
        case .dismiss(let worker): workers[worker]?.dismiss()
        case .wake(let time):
            wakeTimer = loop.timers.add(
                deadline: time,
                owner: timers,
                context: DriverTimers.context(.wake, 0)
            )
        case .rest(let time): reportRest(until: time)
        case .closed:
            isClosed = true
            if let wakeTimer { loop.timers.cancel(wakeTimer) }
            let waiters = closeWaiters
            closeWaiters = []
            for waiter in waiters { waiter.resume(returning: (), on: loop) }
        }
    }

    private func give(_ call: CallID, to id: WorkerID) {
        guard let worker = workers[id], let pending = calls[call] else { return }
        worker.forgetErrors()
        present[id] = call
        calls[call]?.sent = now
        worker.send(pending.frame)
    }

    // MARK: Workers

    /// Starts a process on a thread of its own: `posix_spawn` comes back when the other program has
    /// begun, after half a millisecond, or ten when the machine is busy.
    private func start(_ id: WorkerID) {
        helloTimers[id] = loop.timers.add(
            deadline: now &+ UInt64(configuration.helloTimeout.nanoseconds),
            owner: timers,
            context: DriverTimers.context(.hello, id)
        )
        let configuration = configuration
        do throws(Errno) {
            starting[id] = try Thread.startJoinable { [self] in
                Thread.name("noria start")
                let result = StartedWorker.result(of: configuration)
                loop.post { self.adopt(id, result) }
            }
        } catch {
            // Without a thread the loop waits for it.
            adopt(id, StartedWorker.result(of: configuration))
        }
    }

    private func adopt(_ id: WorkerID, _ result: Result<StartedWorker, StartFailure>) {
        // It is in its last instructions.
        starting.removeValue(forKey: id)?.join()
        do throws(StartFailure) {
            let started = try result.get()
            do throws(Errno) {
                if let limit = configuration.memoryByteCountLimit {
                    try started.child.limitMemory(byteCount: limit)
                }
                let worker = try WorkerProcess(
                    id,
                    started,
                    on: loop,
                    frameByteCountLimit: configuration.frameByteCountLimit,
                    passesOn: { [configuration] bytes in
                        if configuration.passesOnStandardError { Self.passOn(bytes) }
                    },
                    listener(id)
                )
                workers[id] = worker
                worker.begin()
                if killed.remove(id) != nil { worker.kill() }
            } catch {
                started.discard()
                throw StartFailure("a worker can't be watched: \(error) (\(error.name))")
            }
        } catch {
            if let timer = helloTimers.removeValue(forKey: id) { loop.timers.cancel(timer) }
            killed.remove(id)
            startFailure = error.reason
            logger.error("processes: \(error.reason)")
            apply(state.ended(id, isHopeless: true, now: now))
        }
    }

    private func kill(_ id: WorkerID) {
        if let worker = workers[id] { return worker.kill() }
        // It is being started.
        killed.insert(id)
    }

    private func listener(_ id: WorkerID) -> WorkerProcess.Listener {
        WorkerProcess.Listener { [unowned self] in
            heard($0, from: id)
        } nonsense: { [unowned self] in
            heardNonsense($0, from: id)
        } ended: { [unowned self] in
            ended(id, $0)
        }
    }

    private func heard(_ frame: WorkerFrame, from id: WorkerID) {
        if frame.kind == .hello {
            if let timer = helloTimers.removeValue(forKey: id) { loop.timers.cancel(timer) }
            return apply(state.saidHello(id, now: now))
        }
        present[id] = nil
        let tail = workers[id]?.standardErrorTail ?? ""
        let (call, actions) = state.answered(id, now: now)
        if frame.kind == .result, let sent = call.flatMap({ calls[$0]?.sent }) {
            roundTrip.record(now &- sent)
        }
        if let call { answer(call, result(of: frame, calls[call]?.name ?? "", tail)) }
        apply(actions)
    }

    private func heardNonsense(_ failure: WorkerFrameParser.Failure, from id: WorkerID) {
        let name = present[id].flatMap { calls[$0]?.name } ?? ""
        blames[id] =
            switch failure {
            case .tooLong(let count):
                .frameTooLarge(
                    name,
                    "what the worker says",
                    count,
                    limit: configuration.frameByteCountLimit
                )
            case .empty, .unknownKind:
                ProcessPoolError(
                    .callFailed,
                    call: name,
                    "the worker's socket (descriptor \(WorkerSelf.socket)) carried what is no"
                        + " answer; something in it writes there"
                )
            }
        apply(state.talkedNonsense(id))
    }

    func helloIsOverdue(_ id: WorkerID) {
        guard helloTimers.removeValue(forKey: id) != nil else { return }
        let path = configuration.executable?.string ?? "this program"
        let tail = workers[id]?.standardErrorTail ?? ""
        startFailure =
            "\(path) did not reach Runtime.main within \(configuration.helloTimeout)"
            + " ('helloTimeout'); call 'ProcessPool.runWorkerIfNeeded()' first in its main"
            + (tail.isEmpty ? "" : "; it said: \(tail)")
        logger.error("processes: \(startFailure)")
        blames[id] = ProcessPoolError(.startFailed, call: "", startFailure)
        apply(state.helloIsOverdue(id))
    }

    private func ended(_ id: WorkerID, _ end: Child.End) {
        guard let worker = workers[id] else { return }
        let blame = blames[id]
        var isHopeless = blame != nil
        if let timer = helloTimers.removeValue(forKey: id) {
            loop.timers.cancel(timer)
            if case .exited(let code) = end {
                isHopeless = true
                let path = configuration.executable?.string ?? "this program"
                let tail = worker.standardErrorTail
                startFailure =
                    "\(path) ended with exit code \(code) before it reached Runtime.main"
                    + (tail.isEmpty ? "" : "; it said: \(tail)")
                logger.error("processes: \(startFailure)")
            }
        }
        lastEnd = end
        apply(state.ended(id, isHopeless: isHopeless, now: now))
        workers[id] = nil
        blames[id] = nil
        present[id] = nil
    }

    var lastEnd = Child.End.unknown

    private func fail(_ call: CallID, by id: WorkerID) {
        guard let worker = workers[id], let name = calls[call]?.name else { return }
        let error =
            blames[id]
            ?? .died(
                lastEnd,
                wasOutOfMemory: worker.wasOutOfMemory,
                call: name,
                standardErrorTail: worker.standardErrorTail
            )
        logger.debug("processes: worker \(worker.child.processID): \(error)")
        answer(call, .failure(error))
    }

    private func reportRest(until time: UInt64) {
        let length = Duration.nanoseconds(Int64(clamping: time &- now))
        logger.error(
            "processes: workers die one after the other; none is started for \(length)"
        )
    }

    /// Standard error of a worker goes on to this process's, as far as that takes it at once.
    private static func passOn(_ bytes: UnsafeRawBufferPointer) {
        // A pipe that has room at all takes 4 KiB, which is as much as is read at one time.
        if Descriptor.isWritable(2) { Descriptor.writeBytes(bytes, to: 2) }
    }

    // MARK: Timers

    func timeIsUp(_ id: CallID) {
        guard calls[id] != nil else { return }
        calls[id]?.timer = nil
        apply(state.timeIsUp(id, now: now))
    }

    func wake() {
        wakeTimer = nil
        apply(state.timeHasCome(now: now))
    }

    func dismissalIsOverdue() { for worker in workers.values { worker.kill() } }
}
