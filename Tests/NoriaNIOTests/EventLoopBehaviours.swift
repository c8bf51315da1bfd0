// SPDX-License-Identifier: Apache-2.0
#if NIO
import Dispatch
import NIOCore
import Noria
import NoriaNIO
import Synchronization
import TestSupport
import Testing

extension ChannelTests {
    @Suite("A loop keeps SwiftNIO's promises", .serialized)
    struct EventLoopBehaviours {
        @Test("A cancelled task never begins, and lets go of what it holds", arguments: backends)
        func cancelled(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let loop = group.next()
                // From another thread, with a deadline that has come: a race, which cancel decides.
                try await ChannelTests.blocking {
                    for _ in 0..<500 {
                        let count = Locked(0)
                        let task = loop.scheduleTask(in: .zero) { count.withLock { $0 += 1 } }
                        task.cancel()
                        let seen = count.withLock { $0 }
                        try loop.submit {}.wait()
                        try loop.submit {}.wait()
                        #expect(count.withLock { $0 } == seen)
                    }
                }
                let held = Locked<Held?>(Held())
                let (task, isHeld) = held.withLock { object in
                    let object = object.take()
                    return (
                        loop.scheduleTask(in: .hours(1)) { _ = object },
                        { [weak object] in object != nil }
                    )
                }
                try await loop.submit {}.get()
                #expect(isHeld())
                task.cancel()
                try await loop.submit {}.get()
                #expect(!isHeld())
                await #expect(throws: EventLoopError.cancelled) {
                    try await task.futureResult.get()
                }
            }
        }

        private final class Held: Sendable {}

        @Test(
            "What is executed runs in the order of the calls, by whichever way",
            arguments: backends
        )
        func order(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let loop = group.next()
                let record = Locked<[Int]>([])
                let isPosted = Gate()
                loop.execute {
                    // What another thread sends now stands before what the loop executes after.
                    let thread = DispatchQueue(label: "another")
                    thread.async {
                        loop.execute { record.withLock { $0.append(0) } }
                        isPosted.pass()
                    }
                    try? isPosted.wait(for: "the other thread")
                    loop.execute { record.withLock { $0.append(1) } }
                    loop.assumeIsolated().execute { record.withLock { $0.append(2) } }
                    loop.assumeIsolated().submit { record.withLock { $0.append(3) } }.whenSuccess {
                        record.withLock { $0.append(4) }
                    }
                    loop.execute { record.withLock { $0.append(5) } }
                    record.withLock { $0.append(-1) }
                }
                try await ChannelTests.wait("all", Self.any(group)) {
                    record.withLock { $0.count } == 7
                }
                #expect(record.withLock { $0 } == [-1, 0, 1, 2, 3, 4, 5])
            }
        }

        @Test("Work that begets work holds up neither timers nor others' work", arguments: backends)
        func nonStarvation(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let loop = group.next()
                let ends = Ends()
                loop.execute { ends.again(loop) }
                try await loop.scheduleTask(in: .milliseconds(5)) {}.futureResult.get()
                try await ChannelTests.blocking { try loop.submit {}.wait() }
                ends.isOver.store(true, ordering: .relaxed)
                #expect(ends.count.load(ordering: .relaxed) > 1)
            }
        }

        private final class Ends: Sendable {
            let isOver = Atomic<Bool>(false)
            let count = Atomic<Int>(0)
            func again(_ loop: any NIOCore::EventLoop) {
                count.add(1, ordering: .relaxed)
                if !isOver.load(ordering: .relaxed) { loop.execute { self.again(loop) } }
            }
        }

        @Test("Repeated tasks run until they are cancelled, which is told", arguments: backends)
        func repeated(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let loop = group.next()
                let (plain, asynchronous) = (Locked(0), Locked(0))
                let (ended, endedToo) = (
                    loop.makePromise(of: Void.self), loop.makePromise(of: Void.self)
                )
                loop.scheduleRepeatedTask(
                    initialDelay: .zero,
                    delay: .milliseconds(1),
                    notifying: ended
                ) { task in
                    if plain.withLock({
                        $0 += 1
                        return $0 == 3
                    }) {
                        task.cancel()
                    }
                }
                loop.scheduleRepeatedAsyncTask(
                    initialDelay: .zero,
                    delay: .milliseconds(1),
                    notifying: endedToo
                ) { task in
                    if asynchronous.withLock({
                        $0 += 1
                        return $0 == 3
                    }) {
                        task.cancel()
                    }
                    return loop.scheduleTask(in: .milliseconds(1)) {}.futureResult
                }
                try await ended.futureResult.get()
                try await endedToo.futureResult.get()
                #expect(plain.withLock { $0 } == 3)
                #expect(asynchronous.withLock { $0 } == 3)
                let flat = loop.flatScheduleTask(in: .milliseconds(1)) {
                    loop.makeSucceededFuture(7)
                }
                #expect(try await flat.futureResult.get() == 7)
                #expect(try await loop.flatSubmit { loop.makeSucceededFuture(8) }.get() == 8)
                await #expect(throws: CancellationError.self) {
                    try await loop.flatSubmit {
                        loop.makeFailedFuture(CancellationError()) as EventLoopFuture<Void>
                    }
                    .get()
                }
                // As far as can be: it overflows nothing, and can be taken back.
                let never = loop.scheduleTask(in: .nanoseconds(.max)) {}
                try await loop.submit {}.get()
                never.cancel()
                await #expect(throws: EventLoopError.cancelled) {
                    try await never.futureResult.get()
                }
            }
        }

        @Test(
            "A callback is called not before its time, or told that it was cancelled",
            arguments: backends
        )
        func callbacks(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let loop = group.next()
                let (first, second) = (Callback(), Callback())
                let begun = NIODeadline.now()
                for delay in [10, 20] {
                    try loop.scheduleCallback(in: .milliseconds(Int64(delay)), handler: first)
                }
                let other = try loop.scheduleCallback(at: begun + .hours(1), handler: second)
                try await ChannelTests.wait("both", Self.any(group)) { first.calls.count == 2 }
                #expect(first.calls.allSatisfy { $0 >= begun + .milliseconds(10) })
                #expect(first.calls.last.map { $0 >= begun + .milliseconds(20) } == true)
                #expect(first.cancellations == 0)
                #expect(second.calls.isEmpty)
                for _ in 0..<2 { other.cancel() }
                try await loop.submit {}.get()
                #expect(second.cancellations == 1)
                // On the loop: at once, and one that has been called is left alone.
                let third = Callback()
                try await loop.submit {
                    let isolated = loop.assumeIsolated()
                    let late = try isolated.scheduleCallback(in: .hours(1), handler: third)
                    late.cancel()
                    #expect(third.cancellations == 1)
                }.get()
                let done = try loop.scheduleCallback(in: .zero, handler: third)
                try await ChannelTests.wait("the last", Self.any(group)) { third.calls.count == 1 }
                done.cancel()
                try await loop.submit {}.get()
                #expect(third.cancellations == 1)
            }
        }

        @Test(
            "The end cancels what waits, closes what is open, and takes nothing more",
            arguments: backends,
            [1, 2]
        )
        func theEnd(backend: BackendKind, loops: Int) async throws {
            let ends = Locked<[String]>([])
            let kept = Locked<NoriaEventLoopGroup?>(nil)
            let (cancelled, past, before) = (Callback(), Callback(), Callback())
            let listener = try BlockingListener()
            let count = LeakCheck.entries(of: "/proc/self/fd").count
            try await ChannelTests.run(backend, loops: loops) { group in
                kept.withLock { $0 = group }
                for loop in group.makeIterator() {
                    // What is asked for in the end itself is refused; what is executed still runs.
                    loop.scheduleTask(in: .hours(1)) {}.futureResult.whenFailure { error in
                        ends.withLock {
                            $0.append("task \(error as? EventLoopError == .cancelled)")
                        }
                        loop.submit {}.whenFailure { error in
                            ends.withLock {
                                $0.append("submit \(error as? EventLoopError == .shutdown)")
                            }
                        }
                        loop.scheduleTask(in: .zero) {}.futureResult.whenFailure { error in
                            ends.withLock {
                                $0.append("late \(error as? EventLoopError == .shutdown)")
                            }
                        }
                        loop.execute { ends.withLock { $0.append("executed") } }
                    }
                    try loop.scheduleCallback(in: .hours(1), handler: cancelled)
                }
                try group.next().scheduleCallback(in: .hours(1), handler: before).cancel()
                try group.next().scheduleCallback(in: .zero, handler: past)
                try await ChannelTests.wait("it", Self.any(group)) { past.calls.count == 1 }
                for _ in 0..<4 {
                    let channel = try await NoriaClientBootstrap(group: group)
                        .channelOption(.autoRead, value: false)
                        .connect(host: "127.0.0.1", port: listener.port).get()
                    channel.closeFuture.whenComplete { _ in
                        ends.withLock { $0.append("closed \(channel.isActive)") }
                    }
                }
            }
            #expect(
                ends.withLock { $0.filter { !$0.hasPrefix("closed") }.sorted() }
                    == ["executed", "late true", "submit true", "task true"]
                    .flatMap { Array(repeating: $0, count: loops) }
            )
            #expect(ends.withLock { $0.count { $0 == "closed false" } } == 4)
            #expect(cancelled.cancellations == loops && cancelled.calls.isEmpty)
            #expect(before.cancellations == 1 && past.cancellations == 0)
            #expect(LeakCheck.entries(of: "/proc/self/fd").count < count + 50)
            let group = try #require(kept.withLock { $0 })
            #expect(throws: EventLoopError.shutdown) {
                try group.next().scheduleCallback(in: .zero, handler: past)
            }
        }

        @Test("A group names its loops, each itself, and ends none of them", arguments: backends)
        func groups(backend: BackendKind) async throws {
            try await ChannelTests.run(backend, loops: 2) { group in
                let loops = Array(group.makeIterator())
                #expect(loops.count == 2)
                #expect(
                    (0..<4).map { _ in ObjectIdentifier(group.next()) }.count {
                        $0 == ObjectIdentifier(loops[0])
                    } == 2
                )
                for loop in loops {
                    #expect(
                        Array(loop.makeIterator()).map { ObjectIdentifier($0) } == [
                            ObjectIdentifier(loop)
                        ]
                    )
                    #expect(loop.next() === loop && loop.any() === loop)
                    // Its own on the loop, and no other's.
                    #expect(
                        try await loop.submit { group.any() === loop && loop.inEventLoop }.get()
                    )
                    #expect(try await loop.submit { loops.count { $0.inEventLoop } }.get() == 1)
                    await #expect(throws: EventLoopError.unsupportedOperation) {
                        try await loop.shutdownGracefully()
                    }
                    #expect("\(loop)".hasPrefix("NoriaEventLoop (loop "))
                    #expect(
                        try await loop.submit {
                            loop.makeSucceededVoidFuture() === loop.makeSucceededVoidFuture()
                        }.get()
                    )
                    #expect(
                        loop.makeSucceededVoidFuture() !== loop.makeSucceededVoidFuture()
                            || loop.inEventLoop
                    )
                }
                await #expect(throws: EventLoopError.unsupportedOperation) {
                    try await group.shutdownGracefully()
                }
                // Two groups of one runtime are the same loops.
                let runtime = try #require(Runtime.current)
                let other = NoriaEventLoopGroup(runtime)
                #expect(
                    Array(other.makeIterator()).map { ObjectIdentifier($0) }
                        == loops.map { ObjectIdentifier($0) }
                )
                let hopped = loops[0].submit { 1 }.hop(to: loops[1]).map {
                    ($0, loops[1].inEventLoop)
                }
                #expect(try await hopped.get() == (1, true))
            }
        }

        @Test("An actor of a loop runs there, with no thread in between", arguments: backends)
        func executors(backend: BackendKind) async throws {
            try await ChannelTests.run(backend, loops: 2) { group in
                for loop in group.makeIterator() {
                    let resident = Resident(loop)
                    #expect(await resident.isHome())
                    #expect(
                        try await loop.submit { resident.assumeIsolated { $0.count } }.get() == 1
                    )
                    let executor = try #require(loop as? any NIOSerialEventLoopExecutor)
                    #expect(await Resident(loop, executor).isHome())
                    #expect(try await loop.makeFutureWithTask { await resident.isHome() }.get())
                }
            }
        }

        private actor Resident {
            nonisolated let loop: any NIOCore::EventLoop
            nonisolated let executor: any SerialExecutor
            var count = 0
            init(_ loop: any NIOCore::EventLoop, _ executor: (any SerialExecutor)? = nil) {
                (self.loop, self.executor) = (loop, executor ?? loop.executor)
            }
            nonisolated var unownedExecutor: UnownedSerialExecutor {
                executor.asUnownedSerialExecutor()
            }
            func isHome() -> Bool {
                count += 1
                return loop.inEventLoop
            }
        }

        private static func any(_ group: NoriaEventLoopGroup) -> any NIOCore::EventLoop {
            group.next()
        }
    }
}

/// Writes down when it was called.
private final class Callback: NIOScheduledCallbackHandler, Sendable {
    private let state = Locked<(calls: [NIODeadline], cancellations: Int)>(([], 0))

    var calls: [NIODeadline] { state.withLock { $0.calls } }
    var cancellations: Int { state.withLock { $0.cancellations } }

    func handleScheduledCallback(eventLoop: some NIOCore::EventLoop) {
        #expect(eventLoop.inEventLoop)
        state.withLock { $0.calls.append(.now()) }
    }

    func didCancelScheduledCallback(eventLoop: some NIOCore::EventLoop) {
        #expect(eventLoop.inEventLoop)
        state.withLock { $0.cancellations += 1 }
    }
}
#endif
