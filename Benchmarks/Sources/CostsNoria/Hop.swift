// SPDX-License-Identifier: Apache-2.0
import Noria

/// Asks what a hop costs, to an actor that lives on the loop or back from it.
///
/// Each is one job and one switch of the task. The compiler leaves out a hop that protects
/// nothing, so there is work on both sides that it may not move.
@concurrent func hop(_ count: Int, on loop: EventLoop) async {
    let counter = Counter(on: loop)
    let outside = Outside()
    for _ in 0..<count / 2 {
        await counter.increment()
        outside.increment()
    }
    let value = await counter.value
    precondition(value == count / 2 && outside.value == value)
}

private actor Counter {
    private let loop: EventLoop
    var value = 0

    init(on loop: EventLoop) { self.loop = loop }

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }

    @inline(never) func increment() { value += 1 }
}

private final class Outside {
    var value = 0

    @inline(never) func increment() { value += 1 }
}
