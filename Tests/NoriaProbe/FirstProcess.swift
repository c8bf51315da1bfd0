// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import NoriaSystem

/// Runs as number 1 of a namespace: orphans, children of its own, SIGTERM.
enum FirstProcess {
    static func run() {
        Runtime.main(NoriaProbe.configuration) { runtime in
            print("number \(getpid())")
            print("late: \(try await runtime.blocking.run { endedLate() })")
            // A child of this process ends at once, and leaves a child of its own behind.
            let parent = try await runtime.blocking.run {
                ended(shell("(sleep 0.1; exit 3) & exit 5"))
            }
            print("parent: \(parent)")
            // One that is waited for when it ends, a second after the orphan has ended.
            async let own = runtime.blocking.run { ended(shell("sleep 1.1; exit 7")) }
            let answer = try await runtime.processes.run(FateCall(fate: .large, number: 4))
            print("worker: \(answer)")
            print("own: \(try await own)")
            while Child.children().contains(where: \.isZombie) {
                try await Task.sleep(for: .milliseconds(20))
            }
            print("no zombie")
            kill(getpid(), SIGTERM)
            try await runtime.shutdown.requested()
        }
    }

    /// The exit code of a child of this thread's that nobody has waited for while an orphan, which
    /// ended later, was reaped.
    private static func endedLate() -> Int32 {
        let late = shell("exit 9")
        while !Child.children().contains(where: { $0 == (late, true) }) { usleep(2000) }
        _ = ended(shell("(sleep 0.1; exit 3) & exit 5"))
        while Child.children().contains(where: { $0.processID != late }) { usleep(2000) }
        return ended(late)
    }

    private static func shell(_ script: String) -> pid_t {
        var pid: pid_t = 0
        let words: [String] = ["sh", "-c", script]
        var arguments = words.map { strdup($0) } + [nil]
        defer { for text in arguments { free(text) } }
        posix_spawn(&pid, "/bin/sh", nil, nil, &arguments, environ)
        return pid
    }

    /// Its exit code; -1 when somebody else has waited for it.
    private static func ended(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        guard waitpid(pid, &status, 0) == pid else { return -1 }
        return (status >> 8) & 0xff
    }
}
