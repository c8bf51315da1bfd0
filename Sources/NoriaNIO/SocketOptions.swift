// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import NoriaSystem
internal import SystemPackage

/// An option of a socket's by the kernel's numbers.
struct SocketOptionKey: Sendable {
    let level: Int32
    let name: Int32

    init(_ option: ChannelOptions.Types.SocketOption) {
        self.init(option.optionLevel, option.optionName)
    }

    init(_ level: NIOBSDSocket.OptionLevel, _ name: NIOBSDSocket.Option) {
        (self.level, self.name) = (level.rawValue, name.rawValue)
    }

    func set(_ value: [UInt8], on fd: Int32) throws(IOError) {
        do throws(Errno) {
            // SAFETY: the bytes outlive the call.
            let result = value.withUnsafeBytes { bytes in
                Result { () throws(Errno) in
                    try Socket.set(level: level, option: name, to: bytes, on: fd)
                }
            }
            try result.get()
        } catch { throw error.nioError("setsockopt") }
    }

    func get(_ value: UnsafeMutableRawBufferPointer, of fd: Int32) throws(IOError) {
        do throws(Errno) {
            try Socket.get(level: level, option: name, into: value, of: fd)
        } catch { throw error.nioError("getsockopt") }
    }
}

extension SocketOptionValue {
    /// As the kernel takes a number: an int of C.
    var optionBytes: [UInt8] { withUnsafeBytes(of: Int32(truncatingIfNeeded: self), Array.init) }
}

/// Options of any shape, for which SwiftNIO has methods: `setSoLinger`, `getTCPInfo`.
extension SocketChannel {
    /// An option that is an int of C.
    func optionNumber(_ key: SocketOptionKey) throws -> SocketOptionValue {
        var number: Int32 = 0
        try withUnsafeMutableBytes(of: &number) { try getSocketOption(key, into: $0) }
        return SocketOptionValue(number)
    }

    func unsafeSetSocketOption<Value: Sendable>(
        level: NIOBSDSocket.OptionLevel,
        name: NIOBSDSocket.Option,
        value: Value
    ) -> EventLoopFuture<Void> {
        // SAFETY: the caller vouches for the type, whose bytes are copied.
        let bytes = withUnsafeBytes(of: value, Array.init)
        return noria.future { try self.setSocketOption(SocketOptionKey(level, name), to: bytes) }
    }

    func unsafeGetSocketOption<Value: Sendable>(
        level: NIOBSDSocket.OptionLevel,
        name: NIOBSDSocket.Option
    ) -> EventLoopFuture<Value> {
        noria.future {
            let size = MemoryLayout<Value>.size
            return try withUnsafeTemporaryAllocation(
                byteCount: max(1, size),
                alignment: MemoryLayout<Value>.alignment
            ) { memory in
                memory.initializeMemory(as: UInt8.self, repeating: 0)
                let value = UnsafeMutableRawBufferPointer(rebasing: memory[..<size])
                try self.getSocketOption(SocketOptionKey(level, name), into: value)
                // SAFETY: the caller vouches for the type; what the kernel did not fill is zero.
                return memory.load(as: Value.self)
            }
        }
    }

    func unsafeSetSocketOption<Value: Sendable>(
        level: SocketOptionLevel,
        name: SocketOptionName,
        value: Value
    ) -> EventLoopFuture<Void> {
        unsafeSetSocketOption(
            level: NIOBSDSocket.OptionLevel(rawValue: Int32(truncatingIfNeeded: level)),
            name: NIOBSDSocket.Option(rawValue: name),
            value: value
        )
    }

    func unsafeGetSocketOption<Value: Sendable>(
        level: SocketOptionLevel,
        name: SocketOptionName
    ) -> EventLoopFuture<Value> {
        unsafeGetSocketOption(
            level: NIOBSDSocket.OptionLevel(rawValue: Int32(truncatingIfNeeded: level)),
            name: NIOBSDSocket.Option(rawValue: name)
        )
    }
}
#endif
