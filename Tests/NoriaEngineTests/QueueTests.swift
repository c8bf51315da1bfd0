// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import NoriaEngine

@Suite("The engine's queues and buffers")
struct QueueTests {
    private func token(_ number: Int) -> Token { Token(slot: UInt32(number), generation: 1) }

    // MARK: CompletionQueue

    @Test("Completions come out in the order in which they went in, while the ring wraps and grows")
    func completionOrder() {
        var queue = CompletionQueue(capacity: 4)
        var (added, taken) = (0, 0)
        // Three in, two out: it wraps before it grows, and grows while it is wrapped.
        for _ in 0..<500 {
            for _ in 0..<3 {
                queue.append(Completion(token: token(added), result: Int32(added)))
                added += 1
            }
            for _ in 0..<2 {
                let completion = queue.popFirst()
                #expect(completion?.result == Int32(taken))
                #expect(completion?.token == token(taken))
                taken += 1
            }
            #expect(queue.count == added - taken)
        }
        while let completion = queue.popFirst() {
            #expect(completion.result == Int32(taken))
            taken += 1
        }
        #expect(taken == added)
        #expect(queue.isEmpty == true)
        #expect(queue.popFirst()?.result == nil)
    }

    @Test("A completion keeps its buffer through the queue")
    func completionBuffer() {
        var queue = CompletionQueue()
        queue.append(Completion(token: .none, result: 5, buffer: BufferID(rawValue: 9)))
        queue.append(Completion(token: .none, result: 0))
        #expect(queue.popFirst()?.buffer == BufferID(rawValue: 9))
        #expect(queue.popFirst()?.buffer == nil)
    }

    // MARK: BufferPool

    @Test("Each buffer is given out once, has all its bytes, and overlaps no other")
    func buffersApart() throws {
        let pool = BufferPool(capacity: 16, byteCount: 4096)
        var buffers: [BufferID] = []
        while let buffer = pool.take() { buffers.append(buffer) }
        #expect(Set(buffers).count == 16)
        #expect(pool.freeCount == 0)
        for (index, buffer) in buffers.enumerated() {
            let start = pool.start(of: buffer)
            start.initializeMemory(as: UInt8.self, repeating: UInt8(index), count: 4096)
        }
        for (index, buffer) in buffers.enumerated() {
            let bytes = UnsafeRawBufferPointer(start: pool.start(of: buffer), count: 4096)
            #expect(bytes.allSatisfy { $0 == UInt8(index) })
        }
    }

    @Test("An empty pool has none, and gives the one next that came back last")
    func buffersReused() throws {
        let pool = BufferPool(capacity: 2, byteCount: 64)
        let first = try #require(pool.take())
        let second = try #require(pool.take())
        #expect(pool.take() == nil)
        pool.giveBack(second)
        pool.giveBack(first)
        #expect(pool.freeCount == 2)
        #expect(pool.take() == first)
        #expect(pool.take() == second)
    }

    // MARK: StarvedReceives

    @Test("Starved receives leave in the order in which they came")
    func starvedOrder() {
        var line = StarvedReceives()
        #expect(line.isEmpty == true)
        for number in 0..<500 { line.append(token(number)) }
        for number in 0..<500 { #expect(line.popFirst() == token(number)) }
        #expect(line.isEmpty == true)
        #expect(line.popFirst() == nil)
    }

    @Test("One that is cancelled leaves from the middle, once, and the others keep their places")
    func starvedCancel() {
        var line = StarvedReceives()
        for number in 0..<300 { line.append(token(number)) }
        for number in stride(from: 0, to: 300, by: 3) {
            #expect(line.remove(token(number)) == true)
            #expect(line.remove(token(number)) == false)
        }
        let left = (0..<300).filter { $0 % 3 != 0 }
        for number in left { #expect(line.popFirst() == token(number)) }
        #expect(line.popFirst() == nil)
        #expect(line.isEmpty == true)
        #expect(line.remove(token(1)) == false)
    }

    @Test("One that comes again stands at the end")
    func starvedAgain() {
        var line = StarvedReceives()
        for number in 0..<3 { line.append(token(number)) }
        #expect(line.popFirst() == token(0))
        line.append(token(0))
        for number in [1, 2, 0] { #expect(line.popFirst() == token(number)) }
        #expect(line.isEmpty == true)
    }

    @Test("When all were cancelled it is empty, and goes on")
    func starvedAllCancelled() {
        var line = StarvedReceives()
        for round in 0..<1000 {
            line.append(token(round))
            #expect(line.isEmpty == false)
            #expect(line.remove(token(round)) == true)
            #expect(line.isEmpty == true)
        }
        line.append(token(5000))
        #expect(line.popFirst() == token(5000))
        #expect(line.popFirst() == nil)
    }
}
