// SPDX-License-Identifier: Apache-2.0
import Noria

func start() {
    // error: contextual type for closure argument list expects 1 argument, which cannot be implicitly ignored
    Runtime.main { try await Task.sleep(for: .seconds(1)) }
}
