// SPDX-License-Identifier: Apache-2.0

/// Where a thread of this process is in the kernel, as far as /proc tells.
package enum KernelWait {
    /// `waits in hrtimer_nanosleep, in system call 230`, or nil when it can't be read.
    package static func text(ofThread thread: Int32) -> String? {
        let folder = "/proc/self/task/\(thread)/"
        let place = word(of: folder + "wchan")
        let call = word(of: folder + "syscall")
        switch (place, call) {
        case (nil, nil): return nil
        case (let place?, nil): return "waits in \(place)"
        case (_, "running"?): return "runs, in no system call"
        case (nil, let call?): return "in system call \(call)"
        case (let place?, let call?): return "waits in \(place), in system call \(call)"
        }
    }

    /// Whether it waits for another thread of this process, without a time limit.
    ///
    /// False, too, when /proc does not tell.
    package static func isForAnotherThread(_ thread: Int32) -> Bool {
        // The call's number and its arguments: futex(address, operation, value, time-out).
        guard let text = try? SystemFile.text(of: "/proc/self/task/\(thread)/syscall") else {
            return false
        }
        let words = text.split(whereSeparator: \.isWhitespace)
        return words.count > 4 && words[0] == futex && words[4] == "0x0"
    }

    #if arch(x86_64)
    private static let futex = "202"
    #else
    private static let futex = "98"
    #endif

    /// The first word of a small file, unless it is 0.
    private static func word(of path: String) -> String? {
        guard let text = try? SystemFile.text(of: path),
            let word = text.split(whereSeparator: \.isWhitespace).first,
            word != "0" || path.hasSuffix("syscall")
        else { return nil }
        return String(word)
    }
}
