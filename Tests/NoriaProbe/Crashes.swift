// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// A program that traps while its loops turn.
enum Crashes {
    static func run() {
        Runtime.main(NoriaProbe.configuration) { _ in
            print("before")
            fflush(nil)
            await Task { trapOnPurpose(CommandLine.arguments.count) }.value
        }
    }

    @inline(never) static func trapOnPurpose(_ count: Int) {
        let numbers = [1, 2, 3]
        print(numbers[count + 5])
    }
}
