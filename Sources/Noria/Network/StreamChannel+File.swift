// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// The way out for files: `sendfile` from the kernel's memory to the socket (decision 14).
extension StreamChannel {
    /// Sends a part of a file that is there, in order with all other writes.
    ///
    /// Loop thread only.
    func send(_ source: File, from offset: Int, count: Int) async throws {
        // One file at a time: the next begins when the first, and what stands behind it, is gone.
        while outboundFile != nil { try await waitUntilUnsent(atMost: 0) }
        try checkOutbound()
        if Task.isCancelled { throw CancellationError() }
        let file = try File.call("send", source.path) { () throws(Errno) in
            try OutboundFile(source.handle, from: offset, count: count)
        }
        begin(file)
        while true {
            switch await nextStep(of: file) {
            case .goOn: return
            case .fail: throw outboundError ?? failure(.closed, "write to")
            case .endCancelled: throw CancellationError()
            case .bringPiece:
                do {
                    let bytes = try await source.read(at: file.offset, count: file.nextCount)
                    guard !bytes.isEmpty else {
                        throw FileError(cut: source.path, at: count - file.left, of: count)
                    }
                    supply(bytes, to: file)
                } catch {
                    end(file, .fail)
                    throw error
                }
            }
        }
    }

    private func begin(_ file: OutboundFile) {
        outboundFile = file
        talk = .answered
        if isDraining { endIdleRead() }
        flushNow()
    }

    private func nextStep(of file: OutboundFile) async -> OutboundFile.Step {
        if let step = file.takeStep() {
            loop.countOperation()
            await loop.standBackWhenSpent()
            return step
        }
        return await loop.park { parked in
            if Task.isCancelled { end(file, .endCancelled) }
            file.wait(parked, on: loop)
        } onCancel: {
            self.end(file, .endCancelled)
        }
    }

    /// Takes a piece that the file's task has read: it goes out before the rest of the file.
    private func supply(_ bytes: [UInt8], to file: OutboundFile) {
        guard outboundFile === file else { return }
        bytes.withUnsafeBytes { filling.append($0) }
        file.advance(bytes.count)
        file.isBeingRead = false
        flushNow()
    }

    /// The file is sent, or not to be sent any further: what was written since is next.
    func end(_ file: OutboundFile, _ step: OutboundFile.Step) {
        guard outboundFile === file else { return }
        outboundFile = nil
        if filling.isEmpty {
            swap(&filling, &file.behind)
        } else {
            filling.append(file.behind.unsent)
        }
        file.tell(step, on: loop)
        wakeWaiters()
        if outboundError == nil { scheduleFlush() }
    }

    // MARK: Piece by piece

    /// Sends the next piece, when all that was written before is with the kernel; false when there
    /// is something to wait for.
    func sendPiece(of file: OutboundFile) -> Bool {
        guard !file.isBeingRead else { return false }
        guard file.left > 0 else {
            end(file, .goOn)
            return true
        }
        let count = file.nextCount
        // From a disk `sendfile` would keep the whole loop waiting.
        guard !file.isCopied, Files.isCached(file.fd, at: file.offset, count: count) else {
            return askForPiece(of: file)
        }
        let result = Socket.send(fd, file: file.fd, at: file.offset, count: count)
        switch Errno(negated: min(result, 0)) {
        case _ where result > 0:
            file.advance(result)
            engine.count(sent: result)
            file.vainCount = 0
            noteProgress()
            wakeWaiters()
            return result < count ? waitForRoom(file) : goOn(file)
        case .interrupted:
            return true
        case .resourceTemporarilyUnavailable:
            return waitForRoom(file)
        case Errno(rawValue: 0), .invalidArgument, .noFunction, .notSupported, .ioError, .overflow,
            .badFileDescriptor:
            // The file's end, its fault, or a file system without: a read will tell.
            file.isCopied = result < 0
            return askForPiece(of: file)
        case let error:
            failOutbound(error)
            return false
        }
    }

    private func askForPiece(of file: OutboundFile) -> Bool {
        file.isBeingRead = true
        file.tell(.bringPiece, on: loop)
        return false
    }

    /// A peer that takes everything at once must not keep the others from their turn.
    private func goOn(_ file: OutboundFile) -> Bool {
        file.burstCount += 1
        guard file.burstCount == Self.burstLimit else { return true }
        file.burstCount = 0
        loop.post { self.flushNow() }
        return false
    }

    /// 1 MiB, some 200 µs: a fifth of what a turn's jobs may take.
    private static let burstLimit = 8

    private func waitForRoom(_ file: OutboundFile) -> Bool {
        file.burstCount = 0
        file.vainCount += 1
        // An ordinary send waits for itself.
        if file.vainCount > Self.vainLimit { file.isCopied = true }
        guard !file.isCopied else { return true }
        switch engine.submit(.room(fd), owner: self) {
        case .pending(let token):
            sendToken = token
            return false
        case .done(let completion):
            if completion.result < 0 { failOutbound(Errno(negated: completion.result)) }
            return completion.result >= 0
        }
    }

    private static let vainLimit = 8

    /// There is room, or nobody waits for it any more.
    func roomCame(_ result: Int32) {
        if result < 0, result != -Errno.canceled.rawValue {
            failOutbound(Errno(negated: result))
        } else {
            flushNow()
        }
    }
}
