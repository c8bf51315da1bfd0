// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// Makes the backend that a policy asks for, and keeps a reason for each one that it refused.
package enum BackendSelection {
    /// A candidate that can't be had, and why, in words.
    package struct Refusal: Error, Sendable {
        package let kind: BackendKind
        package let reason: String
    }

    /// The first of the candidates that can be had here, and why the earlier ones can't.
    package static func make(
        _ candidates: [BackendKind],
        bufferCapacity: Int = 1024,
        bufferByteCount: Int = 131_072
    ) -> (backend: (any Backend)?, refusals: [Refusal]) {
        let buffers = BufferPool(capacity: bufferCapacity, byteCount: bufferByteCount)
        var refusals: [Refusal] = []
        for kind in candidates {
            do throws(Refusal) {
                return (try make(kind, buffers: buffers), refusals)
            } catch {
                refusals.append(error)
            }
        }
        return (nil, refusals)
    }

    private static func make(
        _ kind: BackendKind,
        buffers: BufferPool
    ) throws(Refusal) -> any Backend {
        do throws(Errno) {
            switch kind {
            case .ioUring:
                if let refusal = ioUringRefusal { throw refusal }
                return try IOUringBackend(buffers: buffers)
            case .epoll:
                return ReadinessBackend(selector: try EpollSelector(), buffers: buffers)
            case .poll:
                return ReadinessBackend(selector: PollSelector(), buffers: buffers)
            case .simulated:
                throw Errno.notSupported
            }
        } catch {
            throw Refusal(kind: kind, reason: reason(for: error, kind))
        }
    }

    /// Why io_uring can't be had in this process: found out once, by using it.
    private static let ioUringRefusal: Errno? = {
        do throws(Errno) {
            let buffers = BufferPool(capacity: 4, byteCount: 4096)
            try BackendSelfTest.run(IOUringBackend(buffers: buffers))
            return nil
        } catch {
            return error
        }
    }()

    private static func reason(for error: Errno, _ kind: BackendKind) -> String {
        let text: String
        switch (kind, error) {
        case (.ioUring, .notPermitted), (.ioUring, .permissionDenied):
            text =
                "not permitted: a seccomp filter (the default of Docker and Kubernetes) or the"
                + " sysctl kernel.io_uring_disabled forbids it; allow the three io_uring system"
                + " calls, or set that sysctl to 0"
        case (.ioUring, .noFunction):
            text =
                "this kernel has no io_uring: it is older than 5.1, or gVisor, or a filter hides it"
        case (.ioUring, .invalidArgument), (.ioUring, .notSupported):
            text = "this kernel is older than 6.1: it can't defer completions to the loop's thread"
        case (.ioUring, .noMemory):
            text = "too little memory may be locked: raise 'ulimit -l'"
        case (.ioUring, .protocolError):
            text = "its self-test failed: it answered a receive, a cancel or a wakeup wrongly"
        default:
            text = "\(error)"
        }
        return "\(text) (\(error.name))"
    }
}
