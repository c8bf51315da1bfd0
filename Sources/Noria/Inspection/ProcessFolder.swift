// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// What /proc tells of one process: its files, read and never written.
///
/// Each number of descriptors, threads and bytes that is looked at has a limit, so that the largest
/// process takes no longer than a second of looking.
struct ProcessFolder: Sendable {
    let machine: Machine
    let processID: Int32
    /// Whether there is a process of that number, though /proc may not show it.
    var isProcess: @Sendable (Int32) -> Bool = { SystemFile.isProcess($0) }
    /// The user that looks.
    var userID = SystemFile.userID

    func path(_ name: String) -> String { "/proc/\(processID)/\(name)" }

    // MARK: Whether there is something to see

    /// The lines of `status`, by their names.
    ///
    /// - Throws: where nothing can be told of the process, why.
    func status() throws(ProcessRefusal) -> [String: String] {
        let status: [String: String]
        do throws(Machine.Unseen) {
            status = Self.pairs(try machine.text(path("status")), ":")
        } catch {
            throw missing(error)
        }
        let name = status["Name"] ?? "?"
        if let group = status["Tgid"], group != "\(processID)" {
            throw ProcessRefusal(
                "\(processID) is a thread (\(name)) of process \(group): give --pid \(group)"
            )
        }
        if status["State"]?.hasPrefix("Z") == true {
            throw ProcessRefusal(
                "process \(processID) (\(name)) has ended, and its parent"
                    + " \(status["PPid"] ?? "") has not taken its exit code yet (a zombie): there"
                    + " is nothing left to look at"
            )
        }
        // A kernel thread has no memory of its own; nor has a process in its last instructions.
        if status["Kthread"] == "1" || status["VmSize"] == nil {
            throw ProcessRefusal(
                "process \(processID) (\(name)) is a thread of the kernel, or is ending: it has no"
                    + " memory of its own, and runs no event loop"
            )
        }
        return status
    }

    private func missing(_ unseen: Machine.Unseen) -> ProcessRefusal {
        guard machine.exists("/proc/self/status") else {
            return ProcessRefusal("nothing can be seen here: /proc is not mounted")
        }
        guard isProcess(processID) else {
            return ProcessRefusal(
                "there is no process \(processID) here: 'ps -e' lists those that are (one in a"
                    + " container has another number outside of it)"
            )
        }
        guard userID != 0 else {
            return ProcessRefusal("process \(processID) is there, but \(Self.rootGap)")
        }
        return ProcessRefusal(
            "process \(processID) is there, but /proc hides it from user \(userID) (mount option"
                + " hidepid): run this as the process's user or as root"
        )
    }

    /// Why root is shown nothing.
    private static let rootGap =
        "root may not look at it: it lacks CAP_SYS_PTRACE here (docker run --cap-add SYS_PTRACE), or"
        + " a security module such as SELinux or AppArmor forbids it"

    /// Why files of the process can't be read, and who could.
    func refusal(_ status: [String: String]) -> ProcessRefusal {
        guard machine.exists(path("status")) else {
            return ProcessRefusal("process \(processID) ended while it was looked at")
        }
        let owner = status["Uid"]?.split(whereSeparator: \.isWhitespace).first.map(String.init)
        let name = status["Name"] ?? "?"
        if userID == 0 {
            let user = owner.map { " of user \($0)\(userName($0))" } ?? ""
            return ProcessRefusal(
                "process \(processID) (\(name))\(user) is there, but \(Self.rootGap)"
            )
        }
        if let owner, owner != "\(userID)" {
            return ProcessRefusal(
                "process \(processID) (\(name)) belongs to user \(owner)\(userName(owner)), and its"
                    + " files in /proc are shown to that user and to root alone: run this as one"
                    + " of them"
            )
        }
        return ProcessRefusal(
            "process \(processID) (\(name)) is this user's, but the kernel shows its files to root"
                + " alone (it was begun with other rights, or in a container): run this as root"
        )
    }

    /// ` (postgres)`, where /etc/passwd knows the number.
    func userName(_ number: String) -> String {
        let users = (try? machine.text(ifThere: "/etc/passwd")) ?? nil
        for line in users?.split(separator: "\n") ?? [] {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 2, fields[2] == number { return " (\(fields[0]))" }
        }
        return ""
    }

    // MARK: Files

    /// The words of a file that ends each with a zero byte: `cmdline`, `environ`.
    func words(_ name: String) throws(Machine.Unseen) -> [String] {
        try machine.text(path(name)).split(separator: "\0").map(String.init)
    }

    /// The environment as the process began with it; of two values the first counts, as for getenv(3).
    func variables() throws(Machine.Unseen) -> [String: String] {
        var variables: [String: String] = [:]
        for word in try words("environ") {
            guard let end = word.firstIndex(of: "="), variables[String(word[..<end])] == nil else {
                continue
            }
            variables[String(word[..<end])] = String(word[word.index(after: end)...])
        }
        return variables
    }

    /// `Name:<tab>value`, a line each.
    static func pairs(_ text: String, _ separator: Character) -> [String: String] {
        var pairs: [String: String] = [:]
        for line in text.split(separator: "\n") {
            guard let end = line.firstIndex(of: separator) else { continue }
            pairs[String(line[..<end])] = String(line[line.index(after: end)...].trimmed)
        }
        return pairs
    }

    func link(_ name: String) -> String? { try? SystemFile.link(at: machine.root + path(name)) }

    func names(in folder: String) throws(Machine.Unseen) -> [String] {
        let path = path(folder)
        do throws(Errno) {
            return try Files.entries(of: FilePath(machine.root + path))
        } catch {
            throw Machine.Unseen(reason: "\(path) can't be read (\(error.name))")
        }
    }

    /// The files that are mapped, each once, in their order.
    func mappedFiles() throws(Machine.Unseen) -> [String] {
        var seen: Set<Substring> = []
        var files: [String] = []
        for line in try machine.text(path("maps")).split(separator: "\n") {
            guard let begin = line.firstIndex(where: { $0 == "/" }) else { continue }
            let file = line[begin...]
            if seen.insert(file).inserted { files.append(String(file)) }
        }
        return files
    }

    /// The soft limit of a line of `limits`: nil is none.
    func softLimit(_ name: String) throws(Machine.Unseen) -> Int? {
        for line in try machine.text(path("limits")).split(separator: "\n")
        where line.hasPrefix(name) {
            let words = line.dropFirst(name.count).split(separator: " ")
            guard let word = words.first else { break }
            return word == "unlimited" ? nil : try Machine.number(word, in: path("limits"))
        }
        throw Machine.Unseen(reason: "\(path("limits")) has no line '\(name)'")
    }

    func sockets() -> SocketTable {
        var table = SocketTable()
        for name in ["net/tcp", "net/tcp6"] {
            let bytes = try? SystemFile.bytes(
                of: machine.root + path(name),
                limit: SocketTable.byteCountLimit
            )
            // Without IPv6 there is no second one.
            table.add(bytes ?? [], from: path(name))
        }
        return table
    }
}
