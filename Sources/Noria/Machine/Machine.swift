// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// What the kernel tells of itself and of its limits on this process, read anew at each question.
///
/// Everything comes from here, so that a folder of files and a few numbers stand in for a machine.
struct Machine: Sendable {
    /// Why something could not be seen, in words: its row says *unknown*.
    struct Unseen: Error {
        let reason: String
    }

    /// The folder that holds `proc` and `sys`; empty for the real ones.
    var root = ""
    var affinityCount = Affinity.processorCount
    var limit: @Sendable (ResourceLimit) throws(Errno) -> (soft: Int?, hard: Int?) = {
        limit throws(Errno) in try limit.read()
    }

    /// The file's text, or nil where there is no such file.
    func text(ifThere path: String) throws(Unseen) -> String? {
        do throws(Errno) {
            return try SystemFile.text(of: root + path)
        } catch {
            if error == .noSuchFileOrDirectory || error == .notDirectory { return nil }
            throw Unseen(reason: "\(path) can't be read (\(error.name))")
        }
    }

    func text(_ path: String) throws(Unseen) -> String {
        guard let text = try text(ifThere: path) else {
            throw Unseen(reason: "there is no \(path)")
        }
        return text
    }

    func exists(_ path: String) -> Bool { SystemFile.exists(root + path) }

    /// The one number that a file holds.
    func number(_ path: String) throws(Unseen) -> Int { try Self.number(text(path), in: path) }

    /// Reads a number out of what `path` says.
    static func number(_ text: some StringProtocol, in path: String) throws(Unseen) -> Int {
        let word = text.trimmed
        guard let number = Int(word) else {
            throw Unseen(reason: "\(path) says '\(word.prefix(40))', which is no number")
        }
        return number
    }

    /// The value of a line `name: value` of /proc/self/status.
    func status(_ name: String) throws(Unseen) -> String {
        let path = "/proc/self/status"
        for line in try text(path).split(separator: "\n") where line.hasPrefix("\(name):") {
            return String(line.dropFirst(name.count + 1).trimmed)
        }
        throw Unseen(reason: "\(path) has no line '\(name)'")
    }

    func limits(_ resource: ResourceLimit) throws(Unseen) -> (soft: Int?, hard: Int?) {
        do throws(Errno) {
            return try limit(resource)
        } catch {
            throw Unseen(reason: "getrlimit failed (\(error.name))")
        }
    }
}

extension StringProtocol {
    /// Without white space at both ends.
    var trimmed: SubSequence {
        guard let first = firstIndex(where: { !$0.isWhitespace }),
            let last = lastIndex(where: { !$0.isWhitespace })
        else { return prefix(0) }
        return self[first...last]
    }
}
