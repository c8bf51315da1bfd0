// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import NoriaSystem
internal import Synchronization

/// Every plain task, seen as it is made and as it ends: the Swift side of CNoria's hook.
///
/// It belongs to the process. A run says what is looked after; what was made before or after is left
/// alone. Decision 15 says what it rests on.
enum TaskHook {
    /// What this build's hook covers, found out by a task of its own at the first question.
    static let coverage = TaskCoverage(seen: selfTest())

    private struct Probe: Error {}
    private static let probeName: StaticString = "noria self-test"

    /// Makes a task that runs and fails here and now, and looks whether all of it was seen.
    private static func selfTest() -> Int32 {
        // SAFETY: a static string is a zero-terminated one that lives for ever.
        let name = UnsafeRawPointer(probeName.utf8Start).assumingMemoryBound(to: CChar.self)
        noria_tasks_begin_self_test(name)
        // Immediate: it needs no executor, and none is ours yet.
        _ = Task.immediate(name: "\(probeName)") { throw Probe() }
        return noria_tasks_end_self_test()
    }

    // MARK: A run

    private static let isListing = Atomic<Bool>(false)
    /// The run's, and between two runs the last one's.
    private static let errors = Guarded<UncaughtErrors?>(nil)

    /// Looks after what is made from now on: everywhere, or embedded on the runtime's loops.
    static func begin(_ runtime: Runtime) {
        errors.withLock { $0 = runtime.uncaughtErrors }
        guard coverage.seesEnds else { return }
        let lists = runtime.configuration.diagnostics.tracksTasks
        isListing.store(lists, ordering: .relaxed)
        noria_tasks_set_report { failure in
            if let failure { TaskHook.met(failure.pointee) }
        }
        noria_tasks_set_rouse {
            // The end of the turn looks.
            Runtime.current?.eventLoops.main.post {}
        }
        noria_tasks_set_mode(runtime.isEmbedded ? NORIA_TASKS_OF_LOOPS : NORIA_TASKS_ALL, lists)
    }

    /// After the loops have turned.
    static func end() {
        noria_tasks_set_mode(NORIA_TASKS_NONE, false)
        noria_tasks_forget_held()
        endWatching()
        isListing.store(false, ordering: .relaxed)
    }

    private static func met(_ failure: noria_task_failure) {
        guard let box = failure.error, let errors = errors.withLock({ $0 }) else { return }
        // SAFETY: an `any Error` is one word, the reference to its box; loading it retains the box.
        let error = withUnsafePointer(to: box) {
            UnsafeRawPointer($0).load(as: (any Error).self)
        }
        errors.take(
            error,
            task: failure.name.map { String(cString: $0) },
            id: failure.id,
            wasCancelled: failure.was_cancelled,
            isHandlers: failure.is_handlers
        )
    }

    // MARK: Marks of this thread

    /// The number of this thread's task; nil outside of tasks.
    static var currentID: UInt64? {
        let id = noria_current_task_id()
        return id == 0 ? nil : id
    }

    /// Runs a handler: what fails of the tasks that it makes does not come back to it.
    static func asHandler(_ body: () -> Void) {
        noria_tasks_enter_handler()
        defer { noria_tasks_leave_handler() }
        body()
    }

    /// The tasks made until `endOwn` are listed, and left to the runtime's own ways of ending them.
    static func beginOwn() { noria_tasks_begin_own() }
    static func endOwn() { noria_tasks_end_own() }

    // MARK: The failed ones that somebody holds

    @inline(__always)
    static var hasHeld: Bool { noria_tasks_has_held() }
    static func lookAgain() { noria_tasks_look_again() }

    // MARK: The listed ones

    static var count: Int { noria_task_count() }
    static var byteCount: Int { noria_task_registry_bytes() }
    /// Those that are not the runtime's own.
    static var plainCount: Int {
        isListing.load(ordering: .relaxed) ? noria_task_count_foreign() : 0
    }

    /// Cancels the plain tasks but the calling one: how many.
    static func cancelAll() -> Int {
        isListing.load(ordering: .relaxed) ? noria_tasks_cancel_all() : 0
    }

    /// A listed task by its address.
    static func record(at address: UInt) -> noria_task_record? {
        var record = noria_task_record()
        // SAFETY: the address is compared only.
        let task = UnsafeRawPointer(bitPattern: address)
        return task != nil && noria_task_find_at(task, &record) ? record : nil
    }

    /// A listed task by its number, or the one that this thread has just seen end.
    static func record(_ id: UInt64) -> noria_task_record? {
        var record = noria_task_record()
        return noria_task_find(id, &record) ? record : nil
    }

    /// The oldest tasks in words, the runtime's own aside, and how many more there are.
    static func oldest(_ count: Int) -> (lines: [String], more: Int) {
        let now = MonotonicClock.now
        let records = records()
            .filter { !$0.is_own || $0.name()?.hasPrefix("noria") == false }
            .sorted { $0.made < $1.made }
        let lines = records.prefix(count).map { record in
            "task \(record.label), \((now &- min(now, record.made)) / 1_000_000) ms old"
                + (record.is_cancelled ? ", cancelled" : "")
        }
        return (lines, records.count - lines.count)
    }

    /// What a listed task waits for, the innermost first, as addresses.
    static func stack(_ record: noria_task_record) -> [UInt] {
        withUnsafePointer(to: record) { record in
            [UInt](unsafeUninitializedCapacity: 32) { buffer, count in
                count = Int(noria_task_stack(record, buffer.baseAddress, Int32(buffer.count)))
            }
        }
    }

    /// A copy of the list, shard by shard: nobody waits for longer than one shard takes.
    static func records() -> [noria_task_record] {
        var all: [noria_task_record] = []
        for shard in 0..<UInt32(NORIA_TASK_SHARDS) {
            var room = noria_task_copy(shard, nil, 0)
            while room > 0 {
                var count = 0
                // More than there were: some are made meanwhile.
                let records = [noria_task_record](unsafeUninitializedCapacity: room + room / 8 + 8)
                {
                    buffer,
                    initializedCount in
                    count = noria_task_copy(shard, buffer.baseAddress, buffer.count)
                    initializedCount = min(count, buffer.count)
                }
                if count <= records.count {
                    all += records
                    break
                }
                room = count
            }
        }
        return all
    }
}

/// How much of the plain tasks this build sees.
struct TaskCoverage: Sendable {
    private let seen: Int32

    init(seen: Int32) { self.seen = seen }

    /// Tasks are listed, and their errors are met.
    var seesEnds: Bool {
        let needed = Int32(NORIA_TASKS_SEES_BIRTHS | NORIA_TASKS_SEES_ENDS)
        return seen & needed == needed
    }

    private var seesNames: Bool { seen & Int32(NORIA_TASKS_SEES_NAMES) != 0 }
    /// Who awaits a task that has failed is told apart from who lets go of it.
    private var seesAwaits: Bool { seen & Int32(NORIA_TASKS_SEES_AWAITS) != 0 }

    /// What a static program links with, to be covered.
    static let flags =
        "-Xlinker --wrap=swift_task_create -Xlinker --wrap=swift_errorRetain"

    /// What is not covered, or nil.
    var gap: String? {
        if !seesEnds {
            return
                "tasks made by a plain 'Task { }' are not seen in this build: neither listed, nor"
                + " cancelled at the end, and what they throw is lost; 'spawn' and 'serve' are"
                + " covered"
        }
        if !seesAwaits {
            return "a plain task that somebody still holds when it fails is not reported in this"
                + " build"
        }
        return seesNames ? nil : "the names of plain tasks are not seen in this build"
    }
}
