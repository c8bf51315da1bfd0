// SPDX-License-Identifier: Apache-2.0
@_spi(Internal) @_spi(MemoryReaders) internal import Runtime

/// Names the functions of captured stacks, with file and line where the build kept them.
///
/// One thread's. The first call takes 10 to 30 ms, later ones about 1 ms.
package final class StackSymbols {
    /// Taken once: taken again it loses the names of the system's libraries (Swift 6.3).
    ///
    /// What is loaded later stays unnamed. The kernel copies what it reads (`process_vm_readv`): a
    /// file that is mapped in part looks like a library, and its missing rest must not end us, as
    /// it does with `ImageMap.capture()`.
    private lazy var images = ImageMap.capture(using: LocalMemoryReader())

    package init() {}

    /// What a chain of addresses is made of.
    package enum Chain {
        /// Where a thread is, and behind it the return addresses.
        case running
        /// Return addresses only.
        case calls
        /// What a task goes on with when its wait is over, and its callers after it.
        case waiting
    }

    /// `blockOnPurpose() at EchoCommand.swift:120`, the innermost call first; inlined calls, too.
    package func names(of addresses: [UInt], _ chain: Chain = .running) -> [String] {
        let frames = addresses.enumerated().map { index, address -> RichFrame<UInt64> in
            switch chain {
            case .running where index == 0: .programCounter(UInt64(address))
            case .running, .calls: .returnAddress(UInt64(address))
            case .waiting: .asyncResumePoint(UInt64(address))
            }
        }
        let stack = Backtrace(architecture: Self.architecture, frames: frames, images: images)
        guard let named = stack.symbolicated(with: images) else {
            return addresses.map { "0x\(String($0, radix: 16))" }
        }
        return named.frames.map(Self.name)
    }

    private static func name(_ frame: SymbolicatedBacktrace.Frame) -> String {
        guard let symbol = frame.symbol else { return "\(frame.captured)" }
        guard let place = symbol.sourceLocation, place.line > 0 else { return symbol.name }
        let file = place.path.split(separator: "/").last.map(String.init) ?? place.path
        return "\(symbol.name) at \(file):\(place.line)"
    }

    private static var architecture: String {
        #if arch(x86_64)
        "x86_64"
        #elseif arch(arm64)
        "arm64"
        #else
        "unknown"
        #endif
    }
}
