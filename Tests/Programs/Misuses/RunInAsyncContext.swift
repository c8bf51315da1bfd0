// SPDX-License-Identifier: Apache-2.0
import Noria

func start() async throws {
    // error: static method 'run' is unavailable from asynchronous contexts; it takes this thread over; in an async context use 'withRuntime'
    _ = try Runtime.run { _ in }
}

func serve() async {
    // error: static method 'main' is unavailable from asynchronous contexts; it takes this thread over; in an async context use 'withRuntime'
    Runtime.main { _ in }
}
