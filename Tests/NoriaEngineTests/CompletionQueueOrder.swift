// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import Testing

@Suite struct CompletionQueueOrder {
    @Test("First in, first out, however the ring stands when it grows", arguments: 0..<20)
    func order(_ seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        var queue = CompletionQueue(capacity: 4)
        var (appended, popped) = (Int32(0), Int32(0))
        for step in 0..<2000 {
            // It fills more often than it empties, so it grows with its head anywhere.
            if random.chance(step < 1000 ? 60 : 40) {
                queue.append(Completion(token: .none, result: appended))
                appended += 1
            } else if let completion = queue.popFirst() {
                #expect(completion.result == popped)
                popped += 1
            }
            #expect(queue.count == Int(appended - popped))
            #expect(queue.isEmpty == (appended == popped))
        }
        while let completion = queue.popFirst() {
            #expect(completion.result == popped)
            popped += 1
        }
        #expect(popped == appended)
    }
}
