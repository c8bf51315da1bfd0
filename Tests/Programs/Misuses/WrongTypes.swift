// SPDX-License-Identifier: Apache-2.0
import Noria

func serve() async throws {
    // error: cannot convert value of type 'String' to expected argument type 'Int'
    _ = try await TCPListener.bind(host: "127.0.0.1", port: "80")
}

func misspelt(_ connection: TCPConnection) async throws {
    // error: value of type 'InboundBytes' has no member 'readline'
    _ = try await connection.inbound.readline()
}

func greet(_ connection: TCPConnection) async throws {
    // error: value of optional type 'String?' must be unwrapped to a value of type 'String'
    let line: String = try await connection.inbound.readLine()
    try await connection.outbound.write(line)
}
