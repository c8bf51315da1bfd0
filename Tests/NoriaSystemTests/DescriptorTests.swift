// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaSystem
import SystemPackage
import TestSupport
import Testing

/// Serial: it counts the descriptors of its own process, and takes a signal of it.
@Suite("NoriaSystem: descriptors, sockets, waits, signals", .serialized)
struct DescriptorTests {
    @Test("An event is readable from the first signal until it is cleared, however many came")
    func event() throws {
        let fd = try Descriptor.event()
        defer { Descriptor.close(fd) }
        #expect(!Descriptor.isReadable(fd))
        for _ in 0..<1000 { Descriptor.signalEvent(fd) }
        #expect(Descriptor.isReadable(fd))
        Descriptor.clearEvent(fd)
        #expect(!Descriptor.isReadable(fd))
        // Clearing what is not set does not wait.
        Descriptor.clearEvent(fd)
    }

    @Test("Waiting for a descriptor ends when it is readable, or not before the time is up")
    func waits() throws {
        let fd = try Descriptor.event()
        defer { Descriptor.close(fd) }
        let start = MonotonicClock.now
        #expect(!Descriptor.waits(fd, nanoseconds: 2_000_001))
        #expect(MonotonicClock.now - start >= 2_000_001)
        #expect(!Descriptor.waits(fd, nanoseconds: 0))
        #expect(!Descriptor.waits(fd, nanoseconds: -5))
        let gate = Gate()
        let thread: @Sendable () -> Void = {
            if Descriptor.waits(fd, nanoseconds: .max) { gate.pass() }
        }
        try Thread.start(thread)
        Descriptor.signalEvent(fd)
        try gate.wait(for: "the thread that waits")
        #expect(Descriptor.waits(fd, nanoseconds: 0))
    }

    @Test("Sockets and events are not handed on to children, and never block")
    func flags() throws {
        let pair = try Socket.pair()
        let fds = [try Descriptor.event(), try Socket.stream(isIPv6: false), pair.0, pair.1]
        defer { fds.forEach(Descriptor.close) }
        for fd in fds {
            #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
            #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
        }
        let epoll = try Epoll.make()
        defer { Descriptor.close(epoll) }
        #expect(fcntl(epoll, F_GETFD) & FD_CLOEXEC != 0)
    }

    @Test("A pair carries bytes both ways; nothing there is EAGAIN, the end is 0")
    func pair() throws {
        let (near, far) = try Socket.pair()
        defer { Descriptor.close(near) }
        var buffer = [UInt8](repeating: 0, count: 8)
        #expect(Socket.receive(near, into: &buffer, count: 8) == -Int(EAGAIN))
        #expect(Socket.send(far, [1, 2, 3] as [UInt8], count: 3) == 3)
        #expect(try Socket.readableByteCount(of: near) == 3)
        #expect(Socket.receive(near, into: &buffer, count: 8) == 3)
        #expect(buffer[..<3] == [1, 2, 3])
        try Socket.shutDownWriting(far)
        #expect(Socket.receive(near, into: &buffer, count: 8) == 0)
        #expect(Socket.send(near, [9] as [UInt8], count: 1) == 1)
        Descriptor.close(far)
    }

    @Test("Sending to one who has gone is EPIPE, not a signal that ends the process")
    func brokenPipe() throws {
        let (near, far) = try Socket.pair()
        defer { Descriptor.close(near) }
        Descriptor.close(far)
        #expect(Socket.send(near, [1] as [UInt8], count: 1) == -Int(EPIPE))
    }

    @Test("Calls on a descriptor that is none say EBADF")
    func badDescriptor() {
        var byte: UInt8 = 0
        #expect(Socket.receive(-1, into: &byte, count: 1) == -Int(EBADF))
        #expect(Socket.send(-1, &byte, count: 1) == -Int(EBADF))
        #expect(Socket.accept(-1) == -Int(EBADF))
        #expect(throws: Errno.badFileDescriptor) { try Socket.listen(-1, backlog: 1) }
        #expect(throws: Errno.badFileDescriptor) { _ = try Socket.readableByteCount(of: -1) }
        #expect(throws: Errno.badFileDescriptor) { try Socket.shutDownWriting(-1) }
    }

    @Test("A listener accepts who is there, and then says EAGAIN")
    func listener() throws {
        let fd = try Socket.stream(isIPv6: false)
        defer { Descriptor.close(fd) }
        let address = try #require(SocketStorage(literal: "127.0.0.1", port: 0))
        try Socket.bind(fd, to: address)
        try Socket.listen(fd, backlog: 4)
        let port = try #require(try Socket.localAddress(of: fd).port)
        #expect(port != 0)
        #expect(Socket.accept(fd) == -Int(EAGAIN))
        let client = try BlockingClient(port: Int(port))
        let accepted = Int32(Socket.accept(fd))
        #expect(accepted >= 0)
        #expect(fcntl(accepted, F_GETFL) & O_NONBLOCK != 0)
        #expect(fcntl(accepted, F_GETFD) & FD_CLOEXEC != 0)
        #expect(try Socket.peerAddress(of: accepted).host == "127.0.0.1")
        #expect(Socket.accept(fd) == -Int(EAGAIN))
        client.close()
        Descriptor.close(accepted)
        let second = try Socket.stream(isIPv6: false)
        defer { Descriptor.close(second) }
        let taken = try #require(SocketStorage(literal: "127.0.0.1", port: port))
        #expect(throws: Errno.addressInUse) { try Socket.bind(second, to: taken) }
    }

    @Test("A filtered listener answers no new SYN and keeps those whose handshake was done")
    func refuseNew() throws {
        let fd = try Socket.stream(isIPv6: false)
        defer { Descriptor.close(fd) }
        let address = try #require(SocketStorage(literal: "127.0.0.1", port: 0))
        try Socket.bind(fd, to: address)
        try Socket.listen(fd, backlog: 8)
        let bound = try Socket.localAddress(of: fd)
        let early = try BlockingClient(port: Int(try #require(bound.port)))
        try Socket.refuseNewConnections(fd)
        let late = try Socket.stream(isIPv6: false)
        defer { Descriptor.close(late) }
        // Over loopback a SYN is answered or dropped before the call returns; with an answer the
        // socket would be writable at once.
        #expect(Socket.connect(late, to: bound) == -Int(EINPROGRESS))
        var entry = pollfd(fd: late, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&entry, 1, 0) == 0)
        let accepted = Int32(Socket.accept(fd))
        #expect(accepted >= 0)
        #expect(Socket.accept(fd) == -Int(EAGAIN))
        Descriptor.close(accepted)
        #expect(try early.receive() == [])
    }

    @Test("epoll tells an edge once, with its cookie, and waits no shorter than asked")
    func epoll() throws {
        let epoll = try Epoll.make()
        let (near, far) = try Socket.pair()
        defer { [epoll, near, far].forEach(Descriptor.close) }
        typealias Bits = ReadinessEvents.Bits
        let events = ReadinessEvents(capacity: 8)
        let cookie: UInt64 = 0xfeed_0000_0000_0001
        try Epoll.add(near, to: epoll, bits: Bits.readable | Bits.edgeTriggered, cookie: cookie)
        #expect(throws: Errno.fileExists) {
            try Epoll.add(near, to: epoll, bits: Bits.readable, cookie: 1)
        }
        #expect(Epoll.wait(epoll, into: events, nanoseconds: 0) == 0)
        let start = MonotonicClock.now
        #expect(Epoll.wait(epoll, into: events, nanoseconds: 2_000_001) == 0)
        #expect(MonotonicClock.now - start >= 2_000_001)
        _ = Socket.send(far, [1] as [UInt8], count: 1)
        #expect(Epoll.wait(epoll, into: events, nanoseconds: -1) == 1)
        #expect(events[0].cookie == cookie)
        #expect(events[0].bits & Bits.readable != 0)
        #expect(Epoll.wait(epoll, into: events, nanoseconds: 0) == 0)
        try Epoll.remove(near, from: epoll)
        #expect(throws: Errno.noSuchFileOrDirectory) { try Epoll.remove(near, from: epoll) }
        _ = Socket.send(far, [1] as [UInt8], count: 1)
        #expect(Epoll.wait(epoll, into: events, nanoseconds: 0) == 0)
    }

    @Test("A signal marks its number and the event, and the disposition is given back")
    func signals() throws {
        func disposition() -> UInt {
            var action = sigaction()
            sigaction(SIGUSR2, nil, &action)
            return unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self)
        }
        let before = disposition()
        let wakeup = try Descriptor.event()
        defer { Descriptor.close(wakeup) }
        _ = SignalInbox.take()
        var inbox = SignalInbox(wakeup: wakeup)
        try inbox.catchSignal(SIGUSR2)
        inbox.unblock()
        #expect(disposition() != before)
        kill(getpid(), SIGUSR2)
        var entry = pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)
        var ready = poll(&entry, 1, 10_000)
        // This thread may be the one that runs the handler.
        if ready < 0, errno == EINTR { ready = poll(&entry, 1, 10_000) }
        #expect(ready == 1)
        #expect(SignalInbox.take() == [SIGUSR2])
        #expect(SignalInbox.take() == [])
        inbox.restore()
        #expect(disposition() == before)
        #expect(throws: Errno.invalidArgument) { try inbox.catchSignal(SIGKILL) }
    }

    @Test("One signal is given back alone, with the mask that it had")
    func givenBack() throws {
        func isBlocked(_ number: Int32) -> Bool {
            var set = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &set)
            return sigismember(&set, number) == 1
        }
        func isCaught(_ number: Int32) -> Bool {
            var action = sigaction()
            sigaction(number, nil, &action)
            return unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self) > 1
        }
        var set = sigset_t()
        var before = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGURG)
        pthread_sigmask(SIG_BLOCK, &set, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var inbox = SignalInbox(wakeup: -1)
        try inbox.catchSignal(SIGURG)
        try inbox.catchSignal(SIGWINCH)
        #expect(isCaught(SIGURG) && isBlocked(SIGURG))
        inbox.unblock()
        #expect(!isBlocked(SIGURG))
        inbox.giveBack(SIGURG)
        inbox.giveBack(SIGURG)
        #expect(!isCaught(SIGURG) && isBlocked(SIGURG) && isCaught(SIGWINCH))
        inbox.restore()
        #expect(!isCaught(SIGWINCH) && isBlocked(SIGURG))
    }

    @Test("An ignored signal is ignored until it is restored")
    func ignored() throws {
        var inbox = SignalInbox(wakeup: -1)
        var action = sigaction()
        sigaction(SIGPIPE, nil, &action)
        let before = unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self)
        try inbox.ignore(SIGPIPE)
        sigaction(SIGPIPE, nil, &action)
        #expect(unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self) == 1)
        inbox.restore()
        sigaction(SIGPIPE, nil, &action)
        #expect(unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self) == before)
    }
}
