// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// The room is an actor that lives on a loop: whoever speaks hops there and back.
actor Room {
    private let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }
    private var members: [TCPConnection.ID: TCPConnection] = [:]

    init(on loop: EventLoop) { self.loop = loop }

    /// Never waits, since one slow reader would hold the room.
    ///
    /// Who does not keep up is sent away.
    func say(_ line: String, from speaker: TCPConnection) {
        for member in members.values where member != speaker {
            do {
                try member.outbound.enqueue("\(speaker.peerAddress): \(line)\n")
            } catch {
                member.abort()
            }
        }
    }

    /// A scope, so that leaving can't be forgotten.
    func admit(
        _ member: TCPConnection,
        while body: @Sendable () async throws -> Void
    ) async throws {
        members[member.id] = member
        defer { members[member.id] = nil }
        try await member.outbound.write("welcome, \(members.count) here\n")
        try await body()
    }
}

/// What one says the others hear: `ChatRoom [HOST [PORT]]`.
@main
struct ChatRoom {
    static func main() {
        let arguments = CommandLine.arguments
        let host = arguments.count > 1 ? arguments[1] : "127.0.0.1"
        let port = arguments.count > 2 ? Int(arguments[2]) ?? -1 : 7001
        Runtime.main { runtime in
            let room = Room(on: runtime.eventLoops.main)
            let listener = try await TCPListener.bind(host: host, port: port)
            print("listening on \(listener.localAddress)")
            fflush(nil)  // whoever reads through a pipe waits for this line
            try await listener.serve { connection in
                // A chat owes no answers, so the end of the program may end it at once.
                connection.setIdle(true)
                try await room.admit(connection) {
                    for try await line in connection.inbound.lines(limit: 1024) {
                        await room.say(line, from: connection)
                    }
                }
            }
        }
    }
}
