// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// A place in the code: who has opened something.
struct CodePlace: Sendable, CustomStringConvertible {
    let file: StaticString
    let line: UInt

    var description: String { "\(file):\(line)" }
}

/// What is closed by whoever opened it, and was not.
extension StreamChannel {
    /// Says who has opened it, for the debug mode.
    ///
    /// Any thread.
    func note(openedAt place: CodePlace) -> Self {
        if DebugWatch.isOn { loop.perform { self.openedAt = place } }
        return self
    }

    /// Gives the descriptor of a connection back that nobody holds any more and nobody has closed.
    ///
    /// Any thread: it is the object's end, so nothing of it is with the kernel.
    func releaseUnclosed() {
        let (loop, engine, fd) = (loop, Unchecked(engine), fd)
        loop.perform {
            if !engine.value.isClosed { engine.value.backend.deregister(fd) }
            Descriptor.close(fd)
            loop.countConnection(-1)
        }
        guard DebugWatch.isOn else { return }
        Runtime.current?.debugWatch?.noteUnclosed(description, openedAt: openedAt)
    }
}

/// A listener, when the run ends.
protocol Closable {
    /// Any thread.
    var isClosed: Bool { get }
    var openedAt: CodePlace? { get }
}

extension TCPListener: Closable {
    var isClosed: Bool { acceptors.allSatisfy { $0.isClosed } }
}

extension UnixListener: Closable {
    var isClosed: Bool { acceptor.isClosed }
}
