// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// The threads of a process at one moment.
struct ProcessThreads: Sendable {
    struct One: Sendable {
        var name = ""
        var voluntarySwitches = 0
        var involuntarySwitches = 0
        /// On a processor, and ready without one, in nanoseconds.
        var ran: Int?
        var waited: Int?
    }

    /// Threads that are looked at each; all are counted.
    static let lookLimit = 1024

    private(set) var count = 0
    private(set) var threads: [Int32: One] = [:]
    let moment: UInt64

    var gap: String? {
        count > threads.count && count > Self.lookLimit
            ? "of \(count) threads \(threads.count) were looked at" : nil
    }

    init() { moment = 0 }

    init(_ folder: ProcessFolder) throws(Machine.Unseen) {
        moment = MonotonicClock.now
        let numbers = try folder.names(in: "task").compactMap { Int32($0) }.sorted()
        count = numbers.count
        for number in numbers.prefix(Self.lookLimit) {
            // One that has ended meanwhile is left out.
            guard let text = try? folder.machine.text(folder.path("task/\(number)/status")) else {
                continue
            }
            var one = One()
            for line in text.split(separator: "\n") {
                if line.hasPrefix("Name:") {
                    one.name = String(line.dropFirst(5).trimmed)
                } else if line.hasPrefix("voluntary_ctxt_switches:") {
                    one.voluntarySwitches = Int(line.dropFirst(24).trimmed) ?? 0
                } else if line.hasPrefix("nonvoluntary_ctxt_switches:") {
                    one.involuntarySwitches = Int(line.dropFirst(27).trimmed) ?? 0
                }
            }
            let schedule = (try? folder.machine.text(folder.path("task/\(number)/schedstat"))) ?? ""
            let numbers = schedule.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
            if numbers.count >= 2 { (one.ran, one.waited) = (numbers[0], numbers[1]) }
            threads[number] = one
        }
    }

    /// How often each name is there, without its number: `NIO-ELT-0-#3` is one of `NIO-ELT`.
    var names: [(name: String, count: Int)] {
        var counts: [String: Int] = [:]
        for thread in threads.values {
            let end = thread.name.lastIndex { !$0.isNumber && !"-#_ ".contains($0) }
            let name = end.map { thread.name[...$0] } ?? thread.name[...]
            counts[String(name), default: 0] += 1
        }
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { (name: $0.key, count: $0.value) }
    }

    /// `4 libuv-worker, 1 python`: the most frequent ones.
    var namesText: String {
        let names = names
        let text = names.prefix(5).map { "\($0.count) \($0.name)" }.joined(separator: ", ")
        return names.count > 5 ? text + ", …" : text
    }

    func numbers(named prefix: String) -> [Int32] {
        threads.filter { $0.value.name.hasPrefix(prefix) }.keys.sorted()
    }
}

/// What the threads of a process have done between two looks.
struct ThreadActivity: Sendable {
    let seconds: Double
    /// Threads that were on a processor for more than a twentieth of the time.
    let busyCount: Int
    let involuntarySwitches: Int
    let voluntarySwitches: Int
    /// The processors in use, and the threads that were ready without one, on average; nil where the
    /// kernel counts neither.
    let processors: Double?
    let waiting: Double?

    init(from before: ProcessThreads, to after: ProcessThreads) {
        let length = Double(after.moment &- min(before.moment, after.moment))
        seconds = length / 1e9
        var (busy, ran, waited, isKnown) = (0, 0, 0, false)
        var (involuntary, voluntary) = (0, 0)
        for (number, thread) in after.threads {
            guard let first = before.threads[number] else { continue }
            involuntary += max(0, thread.involuntarySwitches - first.involuntarySwitches)
            voluntary += max(0, thread.voluntarySwitches - first.voluntarySwitches)
            guard let now = thread.ran, let then = first.ran else { continue }
            isKnown = true
            ran += max(0, now - then)
            waited += max(0, (thread.waited ?? 0) - (first.waited ?? 0))
            if Double(now - then) > length / 20 { busy += 1 }
        }
        busyCount = busy
        involuntarySwitches = involuntary
        voluntarySwitches = voluntary
        processors = isKnown && length > 0 ? Double(ran) / length : nil
        waiting = isKnown && length > 0 ? Double(waited) / length : nil
    }
}

/// Where a loop's thread was found, look after look.
struct LoopPlaces: Sendable {
    /// How often it waited for events, as a loop should.
    var inPoll = 0
    /// And of these by epoll.
    var inEpoll = 0
    /// How often it ran or was ready to.
    var running = 0
    /// How often it waited for something else: by the kernel's function.
    var elsewhere: [String: Int] = [:]

    var lookCount: Int { inPoll + running + elsewhere.values.reduce(0, +) }

    mutating func add(_ other: Self) {
        inPoll += other.inPoll
        inEpoll += other.inEpoll
        running += other.running
        elsewhere.merge(other.elsewhere, uniquingKeysWith: +)
    }

    mutating func look(_ folder: ProcessFolder, _ thread: Int32) {
        guard let stat = try? folder.machine.text(folder.path("task/\(thread)/stat")),
            // The name, in brackets, may have brackets in it.
            let end = stat.lastIndex(of: ")")
        else { return }
        if stat[end...].dropFirst(2).first == "R" {
            running += 1
            return
        }
        guard let text = try? folder.machine.text(folder.path("task/\(thread)/wchan")) else {
            return
        }
        let place = String(text.trimmed)
        // 0: it runs by now, or this kernel does not tell.
        guard !place.isEmpty, place != "0" else { return }
        let isPoll = ["poll", "select", "cqring_wait"].contains { place.contains($0) }
        // ep_poll, or do_epoll_wait.
        if place.contains("ep_poll") || place.contains("epoll") { inEpoll += 1 }
        if isPoll { inPoll += 1 } else { elsewhere[place, default: 0] += 1 }
    }
}
