// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import TestSupport
import Testing

@testable import Noria

@Suite("The buffers of a stream, against plain arrays")
struct StreamBufferTests {
    @Test("OutboundBuffer sends what was appended, in order, however it is cut", arguments: 1...20)
    func outbound(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var buffer = OutboundBuffer()
        var model: [UInt8] = []
        var byteCount = 0
        for round in 0..<500 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                let bytes = [UInt8].pattern(Int.random(in: 0...3000, using: &random), seed: round)
                bytes.withUnsafeBytes { buffer.append($0) }
                model += bytes
                byteCount += bytes.count
            case 5..<9:
                let count = Int.random(in: 0...model.count, using: &random)
                buffer.drop(count)
                model.removeFirst(count)
            default:
                guard random.chance(20) else { continue }
                buffer.removeAll(keeping: Int.random(in: 0...70_000, using: &random))
                model = []
            }
            #expect(buffer.count == model.count)
            #expect(buffer.isEmpty == model.isEmpty)
            #expect(Array(buffer.unsent) == model, "seed \(seed), round \(round)")
        }
        #expect(byteCount > 100_000)
    }

    @Test("Appending does not move what is being sent when there is room")
    func stays() {
        var buffer = OutboundBuffer()
        [UInt8](repeating: 1, count: 100).withUnsafeBytes { buffer.append($0) }
        let before = buffer.unsent.baseAddress
        [UInt8](repeating: 2, count: 100).withUnsafeBytes { buffer.append($0) }
        #expect(buffer.unsent.baseAddress == before)
        buffer.drop(200)
        #expect(buffer.isEmpty == true)
        #expect(buffer.unsent.count == 0)
    }

    @Test(
        "InboundBuffer gives what it was given, by count, by line and by search",
        arguments: 1...20
    )
    func inbound(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var buffer = InboundBuffer()
        var model: [UInt8] = []
        var lineCount = 0
        for _ in 0..<1000 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                    // A line feed now and then, a carriage return before some of them.
                    [0x0a, 0x0d, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68]
                        .randomElement(using: &random) ?? 0x61 as UInt8
                }
                bytes.withUnsafeBytes { buffer.append($0) }
                model += bytes
            case 4..<7:
                let place = model.firstIndex(of: 0x0a)
                #expect(buffer.index(of: 0x0a) == place)
                // Asked again it says the same.
                #expect(buffer.index(of: 0x0a) == place)
                guard let place, random.chance(70) else { continue }
                var line = Array(model[..<place])
                if line.last == 0x0d { line.removeLast() }
                #expect(buffer.takeLine(place) == String(decoding: line, as: UTF8.self))
                model.removeFirst(place + 1)
                lineCount += 1
            case 7..<9:
                let count = Int.random(in: 0...model.count, using: &random)
                #expect(buffer.take(count) == Array(model[..<count]))
                model.removeFirst(count)
            default:
                let count = Int.random(in: 0...model.count, using: &random)
                buffer.drop(count)
                model.removeFirst(count)
            }
            #expect(buffer.count == model.count)
            #expect(buffer.isEmpty == model.isEmpty)
            #expect(buffer.withBytes { Array($0) } == model, "seed \(seed)")
        }
        #expect(lineCount > 20)
        #expect(buffer.takeAll() == model)
        #expect(buffer.isEmpty)
    }
}
