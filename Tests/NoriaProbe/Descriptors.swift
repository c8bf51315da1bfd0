// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// The limit of descriptors: before a run, in it, in its children, and after it.
enum Descriptors {
    static func run() {
        print("before: \(soft == hard ? "hard" : "\(soft)")")
        do {
            _ = try Runtime.run(NoriaProbe.configuration) { runtime in
                print("in the run: \(soft == min(hard, 1_048_576) ? "raised" : "\(soft)")")
                print("original: \(runtime.originalDescriptorLimit)")
                print("forked child: \(forkedChild())")
                fflush(nil)
                // By `posix_spawn`, which the decision says can't be reached; and as it advises.
                system("echo spawned child: $([ $(ulimit -Sn) -gt 200 ] && echo raised)")
                system("ulimit -Sn \(runtime.originalDescriptorLimit); echo advised: $(ulimit -Sn)")
            }
        } catch { print("\(error)") }
        print("after: \(soft)")
        print("forked child after: \(forkedChild())")
    }

    private static var soft: UInt { limit.rlim_cur }
    private static var hard: UInt { limit.rlim_max }

    private static var limit: rlimit {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit
    }

    /// Swift hides `fork`, which C libraries call all the same.
    private static func forkedChild() -> UInt {
        typealias Fork = @convention(c) () -> pid_t
        guard let symbol = dlsym(nil, "fork") else { return 0 }
        let fork = unsafeBitCast(symbol, to: Fork.self)
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return 0 }
        let pid = fork()
        if pid == 0 {
            var value = soft
            write(ends[1], &value, 8)
            _exit(0)
        }
        var value: UInt = 0
        read(ends[0], &value, 8)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        close(ends[0])
        close(ends[1])
        return value
    }
}
