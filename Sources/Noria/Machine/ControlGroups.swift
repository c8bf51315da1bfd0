// SPDX-License-Identifier: Apache-2.0

/// The control groups that hold a process, in version 1, 2 or both at once (cgroups(7)).
///
/// A limit holds for everything below the group that has it, so the tightest of *all* ancestors
/// counts. Inside a container the ancestors above it can't be seen: that is said, not passed over.
struct ControlGroups {
    /// Where a controller holds the process.
    struct Chain {
        /// Whether the files are those of version 2.
        let isUnified: Bool
        /// The process's own group first, the outermost that can be seen last.
        let folders: [String]
        /// Why a limit may be there that can't be seen, or nil.
        let gap: String?
    }

    /// The tightest of a controller's limits.
    struct Tightest<Value: Comparable> {
        /// Nil: no group that can be seen sets one.
        var value: Value?
        /// The group that sets it.
        var folder: String?
        /// Why a tighter one may be there that can't be seen, or nil.
        var gap: String?
    }

    let machine: Machine
    /// The process's name in /proc: its number, or `self`.
    let process: String

    init(_ machine: Machine, of process: String = "self") {
        self.machine = machine
        self.process = process
    }

    /// Asks every group of the chain; `read` says nil where it sets no limit.
    func tightest<Value>(
        of controller: String,
        _ read: (_ folder: String, _ isUnified: Bool) throws(Machine.Unseen) -> Value?
    ) -> Tightest<Value> {
        var tightest = Tightest<Value>()
        do throws(Machine.Unseen) {
            guard let chain = try chain(of: controller) else { return tightest }
            tightest.gap = chain.gap
            for folder in chain.folders {
                do throws(Machine.Unseen) {
                    guard let value = try read(folder, chain.isUnified) else { continue }
                    if let least = tightest.value, least <= value { continue }
                    (tightest.value, tightest.folder) = (value, folder)
                } catch {
                    tightest.gap = error.reason
                }
            }
        } catch {
            tightest.gap = error.reason
        }
        return tightest
    }

    /// Nil: the kernel has no such controller, so it sets no limit.
    func chain(of controller: String) throws(Machine.Unseen) -> Chain? {
        guard let (path, isUnified) = try membership(in: controller) else { return nil }
        guard !path.hasPrefix("/..") else {
            throw Machine.Unseen(
                reason: "the process's own group lies outside of what this container shows"
            )
        }
        let mount = try mount(of: controller, isUnified: isUnified, holding: path)
        var folders = [mount.folder]
        for name in path.dropFirst(mount.root.count).split(separator: "/") {
            folders.append("\(folders[folders.count - 1])/\(name)")
        }
        let own = folders[folders.count - 1]
        guard machine.exists(own) else { throw Machine.Unseen(reason: "there is no \(own)") }
        return Chain(
            isUnified: isUnified,
            folders: folders.reversed(),
            gap: isOutermost(mount.folder, isUnified)
                ? nil : "limits above \(mount.folder) can't be seen from inside this container"
        )
    }

    /// The group that /proc/PROCESS/cgroup names: lines of `id:controllers:path`.
    ///
    /// A controller is in one hierarchy; in those of version 1 when it stands there, else in that
    /// of version 2, whose line has an empty list.
    private func membership(
        in controller: String
    ) throws(Machine.Unseen) -> (path: String, isUnified: Bool)? {
        let file = "/proc/\(process)/cgroup"
        var unified: String?
        for line in try machine.text(file).split(separator: "\n") {
            let parts = line.split(
                separator: ":",
                maxSplits: 2,
                omittingEmptySubsequences: false
            )
            guard parts.count == 3, parts[2].hasPrefix("/") else {
                throw Machine.Unseen(reason: "\(file) says '\(line.prefix(40))'")
            }
            if parts[1].split(separator: ",").contains(where: { $0 == controller }) {
                return (String(parts[2]), false)
            }
            if parts[0] == "0", parts[1].isEmpty { unified = String(parts[2]) }
        }
        return unified.map { ($0, true) }
    }

    /// Where the hierarchy is mounted: of several mounts the one that shows the most ancestors.
    ///
    /// A line of proc_pid_mountinfo(5): `36 35 98:0 ROOT FOLDER options … - TYPE source OPTIONS`.
    private func mount(
        of controller: String,
        isUnified: Bool,
        holding path: String
    ) throws(Machine.Unseen) -> (root: String, folder: String) {
        var best: (root: String, folder: String)?
        for line in try machine.text("/proc/self/mountinfo").split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            guard let dash = fields.dropFirst(6).firstIndex(of: "-"), fields.count > dash + 3,
                fields[dash + 1] == (isUnified ? "cgroup2" : "cgroup"),
                isUnified || fields[dash + 3].split(separator: ",").contains(controller[...])
            else { continue }
            var root = Self.unescaped(fields[3])
            if root == "/" { root = "" }
            guard path == root || path.hasPrefix(root + "/"), !root.hasPrefix("/.."),
                best.map({ root.count < $0.root.count }) ?? true
            else { continue }
            best = (root, Self.unescaped(fields[4]))
        }
        guard let best else {
            throw Machine.Unseen(
                reason: "no control group file system that holds \(controller) is mounted here"
            )
        }
        return best
    }

    /// Whether the folder is the root of the whole hierarchy, not of a container's part of it.
    ///
    /// The kernel keeps `cgroup.events` from the root of version 2, and has `release_agent` in that
    /// of version 1 alone; what /proc/self/cgroup shows is `/` in both cases.
    private func isOutermost(_ folder: String, _ isUnified: Bool) -> Bool {
        isUnified
            ? !machine.exists("\(folder)/cgroup.events")
            : machine.exists("\(folder)/release_agent")
    }

    /// The kernel writes space, tab, newline and backslash in paths as `\040` and so on.
    static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.first {
            let digits = rest.dropFirst().prefix(3)
            let number = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            if byte == UInt8(ascii: "\\"), digits.count == 3, let number {
                bytes.append(number)
                rest = rest.dropFirst(4)
            } else {
                bytes.append(byte)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
