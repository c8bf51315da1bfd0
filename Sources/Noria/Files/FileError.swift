// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
public import SystemPackage

/// What went wrong with a file: the path, the operation, the kernel's reason.
///
/// "open /srv/page: no such file or directory (ENOENT)"
public struct FileError: Error, CustomStringConvertible, Sendable {
    /// The file, as it was named.
    public let path: FilePath
    /// What was tried, as a verb: `open`, `read from`, `rename`.
    public let operation: String
    /// The kernel's reason.
    public let errno: Errno
    private let advice: String?

    init(_ operation: String, _ path: FilePath, _ errno: Errno, advice: String? = nil) {
        self.path = path
        self.operation = operation
        self.errno = errno
        self.advice = advice ?? Self.advice(errno)
    }

    private static func advice(_ errno: Errno) -> String? {
        switch errno {
        case .isDirectory: "a directory stands there; 'File.entries(of:)' lists it"
        case .permissionDenied: "this user lacks the right, on the file or on a folder above it"
        case .noSpace: "the file system is full; what was written before is still there"
        case .tooManyOpenFiles: "no file descriptor is left; raise 'ulimit -n'"
        default: nil
        }
    }

    /// One sentence: what failed, on what, why, and what to do.
    public var description: String {
        let text = "\(operation) \(path): \(errno) (\(errno.name))"
        guard let advice else { return text }
        return "\(text); \(advice)"
    }
}
