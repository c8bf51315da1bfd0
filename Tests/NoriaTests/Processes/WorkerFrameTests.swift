// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("Frames between a pool and its workers")
struct WorkerFrameTests {
    private func frames(
        _ bytes: [UInt8],
        limit: Int = 100,
        cutAt size: Int = .max
    ) throws -> [WorkerFrame] {
        var parser = WorkerFrameParser(byteCountLimit: limit)
        var frames: [WorkerFrame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(size))
            rest = rest.dropFirst(size)
            piece.withUnsafeBytes { parser.append($0) }
            while let frame = try parser.next() { frames.append(frame) }
        }
        return frames
    }

    @Test("come out as they went in, however they were cut", arguments: [1, 2, 3, 5, 1000])
    func cuts(size: Int) throws {
        let sent = [
            WorkerFrame(.hello), WorkerFrame(.result, Array(0..<90)),
            WorkerFrame(.thrown, text: "mistake"), WorkerFrame(.result),
        ]
        #expect(try frames(sent.flatMap(\.bytes), cutAt: size) == sent)
    }

    @Test("of the greatest size pass, and a byte more is refused before it has come")
    func limit() throws {
        let greatest = WorkerFrame(.result, [UInt8](repeating: 7, count: 99))
        #expect(try frames(greatest.bytes) == [greatest])
        #expect(throws: WorkerFrameParser.Failure.tooLong(byteCount: 101)) {
            try frames([0, 0, 0, 101])
        }
        #expect(throws: WorkerFrameParser.Failure.tooLong(byteCount: 0xffff_ffff)) {
            try frames([255, 255, 255, 255])
        }
    }

    @Test("without a kind, or with one that is none, are refused, and all that follows")
    func nonsense() throws {
        #expect(throws: WorkerFrameParser.Failure.empty) { try frames([0, 0, 0, 0, 17]) }
        #expect(throws: WorkerFrameParser.Failure.unknownKind(99)) {
            try frames([0, 0, 0, 50, 99])
        }
        var parser = WorkerFrameParser(byteCountLimit: 10)
        ([0, 0, 0, 1, 99] as [UInt8]).withUnsafeBytes { parser.append($0) }
        #expect(throws: WorkerFrameParser.Failure.self) { try parser.next() }
        WorkerFrame(.hello).bytes.withUnsafeBytes { parser.append($0) }
        #expect(throws: WorkerFrameParser.Failure.unknownKind(99)) { try parser.next() }
        #expect(parser.bufferedByteCount == 0)
    }

    @Test("are not kept once they were taken")
    func memory() throws {
        var parser = WorkerFrameParser(byteCountLimit: 1 << 20)
        let frame = WorkerFrame(.result, [UInt8](repeating: 1, count: 1000))
        // Always a part of the next frame behind, so that the buffer never runs empty.
        let stream = Array(repeating: frame.bytes, count: 2).joined().map { $0 }
        stream.prefix(10).withUnsafeBytes { parser.append($0) }
        for _ in 0..<2000 {
            stream[10..<10 + frame.bytes.count].withUnsafeBytes { parser.append($0) }
            #expect(try parser.next() == frame)
            #expect(try parser.next() == nil)
            #expect(parser.bufferedByteCount == 10)
            #expect(parser.heldByteCount < 200_000)
        }
    }

    @Test("of calls hold a name and a coding, and a payload that is cut is no call")
    func calls() throws {
        let call = WorkerCall(typeName: "4Mine4CallV", coding: [1, 2, 3])
        let frame = try #require(call.frame)
        #expect(frame.kind == .call && WorkerCall(frame.payload) == call)
        #expect(
            WorkerCall(typeName: "x", coding: []).frame.flatMap { WorkerCall($0.payload) } != nil
        )
        for count in 0..<13 { #expect(WorkerCall(Array(frame.payload.prefix(count))) == nil) }
        #expect(WorkerCall([0, 0, 65]) == nil, "no name")
        #expect(WorkerCall([0, 1, 0xff]) == nil, "no UTF-8")
        let longName = String(repeating: "x", count: 65_536)
        #expect(WorkerCall(typeName: longName, coding: []).frame == nil)
    }

    @Test("of results travel as JSON, numbers that it does not know included")
    func coding() throws {
        let numbers = [1.5, .infinity, -.infinity, .greatestFiniteMagnitude]
        let bytes = try CallCoding.encode(numbers)
        #expect(try CallCoding.decode([Double].self, from: bytes) == numbers)
        #expect(try CallCoding.decode(Double.self, from: CallCoding.encode(Double.nan)).isNaN)
        #expect(try CallCoding.decode(String.self, from: CallCoding.encode("text")) == "text")
        #expect(try CallCoding.decode(Int?.self, from: CallCoding.encode(Int?.none)) == nil)
        #expect(throws: (any Error).self) { try CallCoding.decode(Int.self, from: [1, 2]) }
    }

    @Test("a worker's place is read as it was written, and nothing else is one")
    func seat() {
        let seat = WorkerSeat(parentID: 4711, frameByteCountLimit: 1024, isMemoryLimited: true)
        #expect(WorkerSeat(text: seat.text) == seat)
        for text in [
            "", "1", "1 1 1", "2 1 1024 0", "1 0 1024 0", "1 1 0 0", "1 1 1024 2", "a b c d",
        ] {
            #expect(WorkerSeat(text: text) == nil, "\(text)")
        }
        #expect(WorkerSeat.take() == nil, "nobody has started this process to be one")
    }

    @Test("the tail of a text keeps its end, and no half of a letter")
    func tail() {
        var tail = TextTail(byteCountLimit: 5)
        Array("abcdefg".utf8).withUnsafeBytes { tail.append($0) }
        #expect(tail.text == "cdefg")
        Array("äöü".utf8).withUnsafeBytes { tail.append($0) }
        #expect(tail.text == "öü")
    }
}
