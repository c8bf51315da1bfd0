// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import NoriaEngine

/// The options of a connection; one that is not known here fails with `.operationUnsupported`.
extension StreamSocketChannel {
    struct SyncOptions: NIOSynchronousChannelOptions {
        let channel: StreamSocketChannel

        func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) throws {
            // The descriptor may be another's by now.
            guard channel.phase != .closed else { throw ChannelError.ioOnClosedChannel }
            switch (option, value) {
            case (is ChannelOptions.Types.AutoReadOption, let isOn as Bool):
                channel.settings.autoRead = isOn
                channel.readWhenAutomatic()
            case (is ChannelOptions.Types.AllowRemoteHalfClosureOption, let isOn as Bool):
                channel.settings.allowsHalfClosure = isOn
            case (
                is ChannelOptions.Types.WriteBufferWaterMarkOption,
                let mark as ChannelOptions.Types.WriteBufferWaterMark
            ):
                channel.settings.waterMark = mark
                channel.noteMarks()
            case (is ChannelOptions.Types.ConnectTimeoutOption, let timeout as TimeAmount?):
                channel.settings.connectTimeout = timeout
            case (let option as ChannelOptions.Types.SocketOption, let value as SocketOptionValue):
                try channel.setSocketOption(SocketOptionKey(option), to: value.optionBytes)
            case (is ChannelOptions.Types.MaxMessagesPerReadOption, let count as UInt):
                channel.settings.maxMessagesPerRead = Int(clamping: count)
            case (is ChannelOptions.Types.WriteSpinOption, let count as UInt):
                channel.settings.writeSpin = count
            case (
                is ChannelOptions.Types.RecvAllocatorOption,
                let allocator as any RecvByteBufferAllocator
            ):
                channel.settings.receiveAllocator = allocator
            default: throw ChannelError.operationUnsupported
            }
        }

        func getOption<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
            guard channel.phase != .closed else { throw ChannelError.ioOnClosedChannel }
            let value: Any
            switch option {
            case is ChannelOptions.Types.AutoReadOption: value = channel.settings.autoRead
            case is ChannelOptions.Types.AllowRemoteHalfClosureOption:
                value = channel.settings.allowsHalfClosure
            case is ChannelOptions.Types.WriteBufferWaterMarkOption:
                value = channel.settings.waterMark
            case is ChannelOptions.Types.ConnectTimeoutOption:
                value = channel.settings.connectTimeout as Any
            case is ChannelOptions.Types.MaxMessagesPerReadOption:
                value = UInt(channel.settings.maxMessagesPerRead)
            case is ChannelOptions.Types.WriteSpinOption: value = channel.settings.writeSpin
            case is ChannelOptions.Types.RecvAllocatorOption:
                value = channel.settings.receiveAllocator ?? AdaptiveRecvByteBufferAllocator()
            case let option as ChannelOptions.Types.SocketOption:
                value = try channel.optionNumber(SocketOptionKey(option))
            case is ChannelOptions.Types.AllocatorOption: value = channel.allocator
            case is ChannelOptions.Types.BufferedWritableBytesOption:
                value = channel.pending.byteCount
            default: throw ChannelError.operationUnsupported
            }
            guard let value = value as? Option.Value else {
                throw ChannelError.operationUnsupported
            }
            return value
        }
    }

    func setSocketOption(_ key: SocketOptionKey, to value: [UInt8]) throws {
        guard phase != .closed else { throw ChannelError.ioOnClosedChannel }
        try key.set(value, on: fd)
    }

    func getSocketOption(_ key: SocketOptionKey, into value: UnsafeMutableRawBufferPointer) throws {
        guard phase != .closed else { throw ChannelError.ioOnClosedChannel }
        try key.get(value, of: fd)
    }

    /// What came, in buffers of the user's allocator: no piece is larger than one of those.
    func receivedInPieces(_ bytes: UnsafeRawBufferPointer, _ id: BufferID) {
        var buffers: [ByteBuffer] = []
        var left = bytes[...]
        while !left.isEmpty, var allocator = settings.receiveAllocator {
            var buffer = allocator.buffer(allocator: self.allocator)
            let count = min(left.count, max(1, buffer.writableBytes))
            buffer.writeBytes(UnsafeRawBufferPointer(rebasing: left.prefix(count)))
            _ = allocator.record(actualReadBytes: count)
            settings.receiveAllocator = allocator
            left = left.dropFirst(count)
            buffers.append(buffer)
        }
        engine.giveBack(id)
        for buffer in buffers where phase == .active && !isInputClosed {
            pipeline.syncOperations.fireChannelRead(NIOAny(buffer))
        }
        guard phase == .active, !isInputClosed else { return }
        pipeline.syncOperations.fireChannelReadComplete()
        readWhenAutomatic()
    }
}
#endif
