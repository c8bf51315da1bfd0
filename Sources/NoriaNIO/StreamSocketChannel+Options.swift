// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import NoriaSystem

/// The options of a connection that are known here; any other fails with `.operationUnsupported`.
extension StreamSocketChannel {
    struct SyncOptions: NIOSynchronousChannelOptions {
        let channel: StreamSocketChannel

        func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) throws {
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
            case (is ChannelOptions.Types.ConnectTimeoutOption, let timeout as TimeAmount?):
                channel.settings.connectTimeout = timeout
            case (let option as ChannelOptions.Types.SocketOption, let value as SocketOptionValue):
                try channel.set(option, to: value)
            case (is ChannelOptions.Types.MaxMessagesPerReadOption, _),
                (is ChannelOptions.Types.RecvAllocatorOption, _):
                break
            default: throw ChannelError.operationUnsupported
            }
        }

        func getOption<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
            let value: Any
            switch option {
            case is ChannelOptions.Types.AutoReadOption: value = channel.settings.autoRead
            case is ChannelOptions.Types.AllowRemoteHalfClosureOption:
                value = channel.settings.allowsHalfClosure
            case is ChannelOptions.Types.WriteBufferWaterMarkOption:
                value = channel.settings.waterMark
            case is ChannelOptions.Types.ConnectTimeoutOption:
                value = channel.settings.connectTimeout as Any
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

    private func set(_ option: ChannelOptions.Types.SocketOption, to value: SocketOptionValue)
        throws
    {
        switch (option.optionLevel, option.optionName) {
        case (.tcp, .tcp_nodelay): try Socket.set(.noDelay, to: Int(value), on: fd)
        case (.socket, .so_keepalive): try Socket.set(.keepAlive, to: Int(value), on: fd)
        case (.socket, .so_reuseaddr): try Socket.set(.reuseAddress, to: Int(value), on: fd)
        case (.socket, .so_rcvbuf): try Socket.set(.receiveBuffer, to: Int(value), on: fd)
        case (.socket, .so_sndbuf): try Socket.set(.sendBuffer, to: Int(value), on: fd)
        default: throw ChannelError.operationUnsupported
        }
    }
}
#endif
