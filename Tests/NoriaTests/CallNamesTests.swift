// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("who made a task is told from what the libraries put in between")
struct CallNamesTests {
    @Test(
        "the concurrency library's and ours are passed over, in each wrapping",
        arguments: [
            "closure #1 in Task<>.init(name:priority:operation:)",
            "specialized Task<>.init(name:priority:operation:)",
            "static Task<>.detached(name:priority:operation:)", "Task.yield()",
            "specialized static Task<>.immediate(name:priority:operation:)",
            "closure #2 in closure #1 in Runtime.spawn(name:on:_:) at Runtime+Spawn.swift:29",
        ]
    )
    func makers(call: String) { #expect(CallNames.isOne(of: CallNames.makers, call)) }

    @Test(
        "what only looks like them is the program's",
        arguments: [
            "MyTask.run() at main.swift:3", "closure #1 in static BackgroundTask.start()",
            "work(in:) at Task.swift:7", "specialized static Jobs.Task.run()", "",
        ]
    )
    func others(call: String) { #expect(!CallNames.isOne(of: CallNames.makers, call)) }

    @Test("what the compiler puts in between is glue, and an operator is none")
    func glue() {
        for call in ["thunk for @escaping () -> ()", "specialized thunk for A", "..."] {
            #expect(CallNames.isOne(of: CallNames.glue, call))
        }
        #expect(!CallNames.isOne(of: CallNames.glue, "static Range.... infix(_:_:)"))
    }
}
