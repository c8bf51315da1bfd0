// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// A descriptor that is closed when nobody uses it any more.
///
/// Whatever is under way when the scope ends must not find another file under its number: the close
/// waits for the last one.
final class FileHandle: Sendable {
    let path: FilePath
    /// Whether its bytes stand at positions, and come through the kernel's memory: no pipe, terminal
    /// or device, and not opened with O_DIRECT.
    let isBuffered: Bool
    private let state: Guarded<(fd: Int32, userCount: Int, isClosed: Bool)>

    init(_ fd: Int32, _ path: FilePath, isBuffered: Bool) {
        (self.path, self.isBuffered) = (path, isBuffered)
        state = Guarded((fd, 0, false))
    }

    deinit { close() }

    func withDescriptor<Value>(_ body: (Int32) throws(Errno) -> Value) throws(Errno) -> Value {
        let fd = try borrow()
        defer { giveBack() }
        return try body(fd)
    }

    /// The descriptor, which stays what it is until it is given back.
    func borrow() throws(Errno) -> Int32 {
        try state.withLock { state throws(Errno) in
            guard !state.isClosed else { throw .badFileDescriptor }
            state.userCount += 1
            return state.fd
        }
    }

    func giveBack() {
        let fd = state.withLock { state -> Int32? in
            state.userCount -= 1
            return state.isClosed && state.userCount == 0 ? state.fd : nil
        }
        if let fd { Descriptor.close(fd) }
    }

    /// Idempotent.
    func close() {
        let fd = state.withLock { state -> Int32? in
            guard !state.isClosed else { return nil }
            state.isClosed = true
            return state.userCount == 0 ? state.fd : nil
        }
        if let fd { Descriptor.close(fd) }
    }
}
