// SPDX-License-Identifier: Apache-2.0
package import NoriaSystem

/// What the kernel is asked for.
///
/// The memory that it names belongs to the engine, not to the one who submits, until the final
/// completion: the kernel may write to it, or read it, until then.
package struct Submission {
    package enum Kind: UInt8, Sendable {
        /// One connection from a listener's queue. Result: its descriptor.
        case accept
        /// The end of a connect that was begun. Result: 0.
        case connect
        /// Bytes into a buffer of the pool. Result: their count, 0 at the end.
        case receive
        /// At least one byte from `bytes`. Result: how many were sent.
        case send
        /// At least one byte of several pieces of memory. Result: how many were sent.
        case sendParts
        /// What can be sent without waiting. Result: how many, or EAGAIN.
        case sendNow
        /// Readiness to read, without reading: for descriptors that others read. Result: 0.
        case watch
        /// Room to write, without writing: for what another call writes. Result: 0.
        case room
        /// Bytes of a file into memory, at a position. Result: their count, 0 at the end.
        case readFile
        /// Bytes from memory into a file. Result: how many were written.
        case writeFile
        /// What was written to a file, onto the disk. Result: 0.
        case syncFile

        /// Whether it is about a file, which only `Backend.takesFiles` promises to do.
        package var isAboutFile: Bool {
            switch self {
            case .readFile, .writeFile, .syncFile: true
            case .accept, .connect, .receive, .send, .sendParts, .sendNow, .watch, .room: false
            }
        }

        /// Whether it waits for the descriptor to be readable, rather than writable.
        var reads: Bool {
            switch self {
            case .accept, .receive, .watch: true
            case .connect, .send, .sendParts, .sendNow, .room: false
            case .readFile, .writeFile, .syncFile: false
            }
        }
    }

    package let kind: Kind
    package let descriptor: Int32
    /// What to send, or the message that names it; the address of a connect; the `FilePart` of a file operation.
    package let bytes: UnsafeRawPointer?
    package let byteCount: Int

    init(
        _ kind: Kind,
        _ descriptor: Int32,
        bytes: UnsafeRawPointer? = nil,
        byteCount: Int = 0
    ) {
        self.kind = kind
        self.descriptor = descriptor
        self.bytes = bytes
        self.byteCount = byteCount
    }

    package static func accept(_ fd: Int32) -> Self { Self(.accept, fd) }
    package static func receive(_ fd: Int32) -> Self { Self(.receive, fd) }
    package static func watch(_ fd: Int32) -> Self { Self(.watch, fd) }
    package static func room(_ fd: Int32) -> Self { Self(.room, fd) }
    package static func syncFile(_ fd: Int32) -> Self { Self(.syncFile, fd) }

    /// The part must stay where it is until the completion, like the memory that it names.
    package static func readFile(_ fd: Int32, _ part: UnsafePointer<FilePart>) -> Self {
        Self(.readFile, fd, bytes: UnsafeRawPointer(part), byteCount: part.pointee.count)
    }

    /// The same as with `readFile`.
    package static func writeFile(_ fd: Int32, _ part: UnsafePointer<FilePart>) -> Self {
        Self(.writeFile, fd, bytes: UnsafeRawPointer(part), byteCount: part.pointee.count)
    }

    /// The address must stay where it is until the completion.
    package static func connect(_ fd: Int32, to address: UnsafePointer<SocketStorage>) -> Self {
        Self(.connect, fd, bytes: UnsafeRawPointer(address))
    }

    package static func send(_ fd: Int32, _ bytes: UnsafeRawPointer, count: Int) -> Self {
        Self(.send, fd, bytes: bytes, byteCount: count)
    }

    /// The parts must stay as they are, like the memory that they name, until the completion.
    package static func send(_ fd: Int32, _ parts: SendParts) -> Self {
        Self(.sendParts, fd, bytes: parts.header, byteCount: parts.byteCount)
    }

    package static func sendNow(_ fd: Int32, _ bytes: UnsafeRawPointer, count: Int) -> Self {
        Self(.sendNow, fd, bytes: bytes, byteCount: count)
    }
}

/// Where the bytes of a file operation stand: in the file, and in memory.
package struct FilePart {
    /// Their position in the file; nil is its end, wherever other writers have moved it.
    package let offset: Int?
    package let memory: UnsafeMutableRawPointer
    package let count: Int

    package init(offset: Int?, memory: UnsafeMutableRawPointer, count: Int) {
        (self.offset, self.memory, self.count) = (offset, memory, count)
    }
}
