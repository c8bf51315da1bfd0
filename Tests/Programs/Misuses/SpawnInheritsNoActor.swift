// SPDX-License-Identifier: Apache-2.0
import Noria

actor Cache {
    var size = 0

    func start(_ runtime: Runtime) {
        // error: actor-isolated property 'size' can not be mutated from a nonisolated context
        runtime.spawn(name: "grow") { self.size += 1 }
    }
}
