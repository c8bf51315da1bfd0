// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite("NoriaSystem: numbers, errors, threads")
struct SystemTests {
    @Test(
        "A duration in nanoseconds is rounded up, never negative, and cut at the largest",
        arguments: [
            (.zero, 0), (.nanoseconds(1), 1), (.milliseconds(5), 5_000_000),
            (Duration(secondsComponent: 0, attosecondsComponent: 1), 1),
            (Duration(secondsComponent: 0, attosecondsComponent: 1_000_000_001), 2),
            (.seconds(-1), 0), (.nanoseconds(-1), 0),
            (.seconds(9_223_372_036), 9_223_372_036_000_000_000),
            (.seconds(9_223_372_037), .max), (.seconds(Int64.max), .max), (.seconds(Int64.min), 0),
            (.seconds(9_223_372_036) + .milliseconds(999), .max),
        ] as [(Duration, Int64)]
    )
    func nanoseconds(duration: Duration, expected: Int64) {
        #expect(duration.nanoseconds == expected)
    }

    @Test("A negative result is the error that it is, another is the count")
    func check() throws {
        #expect(try NoriaSystem.check(0) == 0)
        #expect(try NoriaSystem.check(5) == 5)
        #expect(throws: Errno.connectionReset) { try NoriaSystem.check(-104) }
        #expect(Errno(negated: -104 as Int32) == .connectionReset)
    }

    @Test("An error has the kernel's name, or its number when there is none")
    func names() {
        #expect(Errno.connectionRefused.name == "ECONNREFUSED")
        #expect(Errno(rawValue: 4095).name == "errno 4095")
    }

    @Test("The clock never goes back")
    func clock() {
        var last = MonotonicClock.now
        for _ in 0..<10_000 {
            let now = MonotonicClock.now
            #expect(now >= last)
            last = now
        }
    }

    @Test("A thread runs its body once, is not the main one, and has a number of its own")
    func thread() throws {
        let seen = Mutex<[Int32]>([])
        let gate = Gate(count: 8)
        let body: @Sendable () -> Void = {
            seen.withLock { $0.append(Thread.isMain ? -1 : Thread.id) }
            // None ends before all have begun, or a number could be given out again.
            gate.pass()
            try? gate.wait(for: "the others")
        }
        for _ in 0..<8 { try Thread.start(body) }
        try gate.wait(for: "eight threads")
        let numbers = seen.withLock { $0 }
        #expect(numbers.count == 8)
        #expect(Set(numbers).count == 8)
        #expect(!numbers.contains(-1))
        #expect(!numbers.contains(Thread.processID))
    }

    @Test("Which loop runs is each thread's own")
    func currentLoop() {
        let before = CurrentLoop.pointer
        #expect(before == nil)
        let others = Mutex<[Bool]>([])
        PlainThreads.run(4) { index in
            let mine = UnsafeMutableRawPointer(bitPattern: 0x1000 + index)
            let wasEmpty = CurrentLoop.pointer == nil
            CurrentLoop.pointer = mine
            others.withLock { $0.append(wasEmpty && CurrentLoop.pointer == mine) }
            CurrentLoop.pointer = nil
        }
        #expect(others.withLock { $0 } == [true, true, true, true])
        #expect(CurrentLoop.pointer == nil)
    }

    @Test("A sleep is not shorter than asked")
    func sleep() {
        let start = MonotonicClock.now
        Thread.sleep(nanoseconds: 3_000_000)
        #expect(MonotonicClock.now - start >= 3_000_000)
        Thread.sleep(nanoseconds: 0)
    }

    @Test("A variable that is not set is nil")
    func environment() {
        #expect(Thread.environment("NORIA_NO_SUCH_VARIABLE") == nil)
        #expect(Thread.environment("PATH") != nil)
    }

    @Test("Variables are found by the begin of their names")
    func environmentByPrefix() {
        let found = Thread.environment(prefixed: "PAT")
        #expect(found["PATH"] == Thread.environment("PATH"))
        #expect(found.keys.allSatisfy { $0.hasPrefix("PAT") })
        #expect(Thread.environment(prefixed: "NORIA_NO_SUCH_").isEmpty)
    }
}
