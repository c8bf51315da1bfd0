// SPDX-License-Identifier: Apache-2.0
import Noria

class Store {
    var names: [String] = []
}

func collect(_ listener: TCPListener, _ store: Store) async throws {
    try await listener.serve { connection in
        // error: capture of 'store' with non-Sendable type 'Store' in a '@Sendable' closure
        store.names.append(connection.description)
    }
}
