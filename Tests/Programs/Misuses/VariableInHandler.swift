// SPDX-License-Identifier: Apache-2.0
import Noria

func count(_ listener: TCPListener) async throws {
    var count = 0
    // error: mutation of captured var 'count' in concurrently-executing code
    try await listener.serve { _ in count += 1 }
    print(count)
}
