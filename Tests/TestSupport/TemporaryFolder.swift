// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A folder of a test's own, short enough for the path of a Unix socket, gone with this object.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        var template = Array("/tmp/noria-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw ChildProcess.Failure("no folder: \(String(cString: strerror(errno)))")
        }
        path = String(cString: made)
    }

    deinit { Self.remove(path) }

    /// Removes a file, or a folder with all that stands in it.
    package static func remove(_ path: String) {
        guard unlink(path) != 0 else { return }
        for name in LeakCheck.entries(of: path) { remove("\(path)/\(name)") }
        rmdir(path)
    }

    /// The names of what stands in it.
    package var entries: [String] { LeakCheck.entries(of: path).sorted() }

    /// The mode of a path, its kind included, or nil when nothing is there.
    package static func mode(of path: String) -> UInt32? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode : nil
    }
}
