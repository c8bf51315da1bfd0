// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaEngine
import NoriaSystem
import Synchronization
import TestSupport
import Testing

@Suite("Wakeup loses no post and writes at most once a sleep")
struct WakeupTests {
    @Test("Only a loop that sleeps is written to, once, and one that has stopped says so")
    func latch() throws {
        let wakeup = try Wakeup()
        #expect(!wakeup.rouse())
        wakeup.didWake()
        #expect(wakeup.rouse() && wakeup.writeCount == 0)
        wakeup.willSleep()
        wakeup.didWake()
        // It sleeps no longer, though nobody roused it: that would be a system call for nothing.
        #expect(wakeup.rouse() && wakeup.writeCount == 0)
        wakeup.willSleep()
        #expect(wakeup.rouse() && wakeup.rouse() && wakeup.writeCount == 1)
        wakeup.didWake()
        #expect(wakeup.rouse() && wakeup.writeCount == 1)
        wakeup.stop()
        #expect(!wakeup.rouse() && wakeup.writeCount == 1)
    }

    @Test("100,000 posts of four threads all arrive, each thread's in order")
    func nothingLost() throws {
        let postsPerThread = 25_000
        let threadCount = 4
        let wakeup = try Wakeup()
        let queue = Locked<[(thread: Int, number: Int)]>([])
        let refused = Atomic<Int>(0)
        let announced = Atomic<UInt64>(0)
        let slept = Atomic<UInt64>(0)
        let arrived = Locked<[[Int]]>(Array(repeating: [], count: threadCount))
        let timeouts = Atomic<Int>(0)
        wakeup.didWake()
        PlainThreads.run(threadCount + 1) { index in
            guard index == threadCount else {
                for number in 0..<postsPerThread {
                    queue.withLock { $0.append((index, number)) }
                    if !wakeup.rouse() { refused.wrappingAdd(1, ordering: .relaxed) }
                    // Every now and then the loop is let come to rest: falling asleep is the race.
                    guard number % 100 == 99 else { continue }
                    while arrived.withLock({ $0[index].count }) <= number,
                        timeouts.load(ordering: .relaxed) == 0
                    {
                        sched_yield()
                    }
                }
                return
            }
            var count = 0
            while count < postsPerThread * threadCount {
                wakeup.willSleep()
                announced.wrappingAdd(1, ordering: .relaxed)
                if queue.withLock({ $0.isEmpty }) {
                    slept.wrappingAdd(1, ordering: .relaxed)
                    var entry = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
                    guard poll(&entry, 1, 10_000) == 1 else {
                        timeouts.wrappingAdd(1, ordering: .relaxed)
                        break
                    }
                    Descriptor.clearEvent(wakeup.descriptor)
                }
                wakeup.didWake()
                let taken = queue.withLock { queue in
                    defer { queue = [] }
                    return queue
                }
                count += taken.count
                arrived.withLock { arrived in
                    for post in taken { arrived[post.thread].append(post.number) }
                }
            }
        }
        #expect(timeouts.load(ordering: .relaxed) == 0, "a post was lost: the loop slept on")
        #expect(refused.load(ordering: .relaxed) == 0)
        let expected = Array(repeating: Array(0..<postsPerThread), count: threadCount)
        #expect(arrived.withLock { $0 } == expected)
        // The race was run, and each announced sleep was ended by one write at most.
        #expect(slept.load(ordering: .relaxed) > 100)
        #expect(wakeup.writeCount > 0)
        #expect(wakeup.writeCount <= announced.load(ordering: .relaxed))
    }

    @Test("However many rouse one sleep, one of them writes")
    func oneWriteASleep() throws {
        let wakeup = try Wakeup()
        wakeup.didWake()
        for round in 1...200 as ClosedRange<UInt64> {
            wakeup.willSleep()
            PlainThreads.run(4) { _ in
                for _ in 0..<10 { _ = wakeup.rouse() }
            }
            #expect(wakeup.writeCount == round)
            #expect(Descriptor.isReadable(wakeup.descriptor))
            Descriptor.clearEvent(wakeup.descriptor)
            wakeup.didWake()
        }
    }

    @Test("A loop that runs is not written to, and one that has stopped says so")
    func states() throws {
        let wakeup = try Wakeup()
        // Before its first run nobody looks.
        #expect(!wakeup.rouse())
        wakeup.didWake()
        #expect(wakeup.rouse())
        wakeup.willSleep()
        #expect(wakeup.rouse())
        #expect(wakeup.rouse())
        #expect(wakeup.writeCount == 1)
        wakeup.stop()
        #expect(!wakeup.rouse())
        #expect(wakeup.writeCount == 1)
        wakeup.didWake()
        #expect(wakeup.rouse())
    }

    @Test("A post before the wait begins ends the wait at once")
    func beforeTheWait() throws {
        let wakeup = try Wakeup()
        wakeup.willSleep()
        #expect(!Descriptor.isReadable(wakeup.descriptor))
        #expect(wakeup.rouse())
        #expect(Descriptor.isReadable(wakeup.descriptor))
        Descriptor.clearEvent(wakeup.descriptor)
        #expect(!Descriptor.isReadable(wakeup.descriptor))
    }
}
