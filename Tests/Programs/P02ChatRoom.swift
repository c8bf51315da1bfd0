// SPDX-License-Identifier: Apache-2.0
import Noria

actor Room {
    private let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }
    private var members: [TCPConnection.ID: TCPConnection] = [:]

    init(on loop: EventLoop) { self.loop = loop }

    func say(_ line: String, from speaker: TCPConnection) {
        for member in members.values where member != speaker {
            do {
                try member.outbound.enqueue("\(speaker.peerAddress): \(line)\n")
            } catch {
                member.abort()
            }
        }
    }

    func admit(
        _ member: TCPConnection,
        while body: @Sendable () async throws -> Void
    ) async rethrows {
        members[member.id] = member
        defer { members[member.id] = nil }
        try await body()
    }
}

@main struct ChatRoom {
    static func main() {
        Runtime.main { runtime in
            let room = Room(on: runtime.eventLoops.main)
            try await TCPListener.bind(host: "0.0.0.0", port: 7001).serve { connection in
                connection.setIdle(true)  // a chat owes no answers: a drain may end it
                try await room.admit(connection) {
                    for try await line in connection.inbound.lines() {
                        await room.say(line, from: connection)
                    }
                }
            }
        }
    }
}
