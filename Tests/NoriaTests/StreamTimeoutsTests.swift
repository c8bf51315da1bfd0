// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("What a stream's time-outs are counted from")
struct StreamTimeoutsTests {
    /// Ten, twenty and thirty nanoseconds, and five for a last word.
    private func timeouts(now: UInt64 = 100) -> StreamTimeouts? {
        let limits = StreamLimits(
            idleTimeout: .nanoseconds(10),
            readTimeout: .nanoseconds(20),
            writeTimeout: .nanoseconds(30),
            lingerTimeout: .nanoseconds(5)
        )
        return StreamTimeouts(limits, now: now)
    }

    @Test("Without a limit there is nothing to time, with one only that")
    func none() throws {
        #expect(StreamTimeouts(StreamLimits(), now: 100) == nil)
        var one = try #require(
            StreamTimeouts(StreamLimits(readTimeout: .nanoseconds(20)), now: 100)
        )
        one.beginWait(forMessageSince: 100)
        one.noteHeldBack(100, true)
        #expect(one.deadline(of: .idle) == nil)
        #expect(one.deadline(of: .read) == 120)
        #expect(one.deadline(of: .write) == nil)
    }

    @Test("Idle time begins anew with each byte, whichever way it goes")
    func idle() throws {
        var timeouts = try #require(self.timeouts())
        #expect(timeouts.deadline(of: .idle) == 110)
        timeouts.noteByte(105)
        #expect(timeouts.deadline(of: .idle) == 115)
        timeouts.endWait(107, hasBytes: true)
        #expect(timeouts.deadline(of: .idle) == 117)
        timeouts.endWait(108, hasBytes: false)
        #expect(timeouts.deadline(of: .idle) == 117)
        timeouts.noteProgress(109, false)
        #expect(timeouts.deadline(of: .idle) == 119)
    }

    @Test("A message's time runs from its beginning while its reader waits, bytes or not")
    func read() throws {
        var timeouts = try #require(self.timeouts())
        #expect(timeouts.deadline(of: .read) == nil)
        timeouts.beginWait(forMessageSince: 103)
        #expect(timeouts.deadline(of: .read) == 123)
        timeouts.endWait(110, hasBytes: true)
        #expect(timeouts.deadline(of: .read) == nil)
        timeouts.beginWait(forMessageSince: 103)
        #expect(timeouts.deadline(of: .read) == 123)
    }

    @Test("A writer's time begins as it is held back, anew with each byte that goes")
    func write() throws {
        var timeouts = try #require(self.timeouts())
        #expect(timeouts.deadline(of: .write) == nil)
        timeouts.noteHeldBack(101, true)
        timeouts.noteHeldBack(102, true)
        #expect(timeouts.deadline(of: .write) == 131)
        timeouts.noteProgress(110, true)
        #expect(timeouts.deadline(of: .write) == 140)
        timeouts.noteProgress(112, false)
        #expect(timeouts.deadline(of: .write) == nil)
        // It was cancelled, and the next one has its own time.
        timeouts.noteHeldBack(120, true)
        timeouts.noteHeldBack(121, false)
        timeouts.noteHeldBack(122, true)
        #expect(timeouts.deadline(of: .write) == 152)
    }

    @Test("After the end only the last word is timed, and what is written for it")
    func farewell() throws {
        var timeouts = try #require(self.timeouts())
        timeouts.beginWait(forMessageSince: 100)
        #expect(timeouts.deadline(of: .farewell) == nil)
        timeouts.end(130)
        #expect(timeouts.deadline(of: .farewell) == 135)
        #expect(timeouts.deadline(of: .idle) == nil)
        #expect(timeouts.deadline(of: .read) == nil)
        timeouts.noteHeldBack(131, true)
        #expect(timeouts.deadline(of: .write) == 161)
    }

    @Test("A time beyond the clock's is none, not one in the past")
    func beyond() throws {
        let limits = StreamLimits(idleTimeout: .seconds(Int64.max))
        let timeouts = try #require(StreamTimeouts(limits, now: .max - 5))
        #expect(timeouts.deadline(of: .idle) == .max)
    }

    @Test("Limits that are none are refused with a sentence that names them")
    func problems() {
        #expect(StreamLimits().problem == nil)
        let wrong: [(StreamLimits, String)] = [
            (StreamLimits(idleTimeout: .zero), "idleTimeout is 0.0 seconds"),
            (StreamLimits(readTimeout: .seconds(-1)), "readTimeout is -1.0 seconds"),
            (StreamLimits(writeTimeout: .zero), "writeTimeout is 0.0 seconds"),
            (StreamLimits(lingerTimeout: .seconds(-1)), "lingerTimeout is -1.0 seconds"),
            (StreamLimits(connectionLimit: 0), "connectionLimit is 0"),
        ]
        for (limits, sentence) in wrong {
            #expect(limits.problem?.hasPrefix(sentence) == true, "\(limits.problem ?? "none")")
        }
        #expect(StreamLimits(lingerTimeout: .zero, connectionLimit: 1).problem == nil)
    }

    @Test("One report goes through in a time, and the next tells how many were held back")
    func reports() {
        var limit = ReportLimit(nanoseconds: 100)
        #expect(limit.admit(1000) == 0)
        #expect(limit.admit(1001) == nil)
        #expect(limit.admit(1099) == nil)
        #expect(limit.admit(1100) == 2)
        #expect(limit.admit(1150) == nil)
        #expect(limit.admit(2000) == 1)
        #expect(limit.admit(3000) == 0)
    }
}
