// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport

/// The package's own files, read from where this one was compiled.
enum SourceTree {
    struct File: CustomStringConvertible {
        /// From the package's root.
        let path: String
        let lines: [Substring]

        var name: String { path.split(separator: "/").last.map(String.init) ?? path }
        var description: String { path }

        /// The lines without their comments; a `//` inside a string is taken for one, too.
        var code: [Substring] {
            lines.map { line in
                line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
            }
        }

        /// The modules that it imports, each with its line.
        var imports: [Substring] {
            code.compactMap { line in
                let words = line.split(separator: " ")
                let kinds = [
                    "enum", "struct", "class", "protocol", "func", "typealias", "let", "var",
                ]
                guard let index = words.firstIndex(of: "import"),
                    words[..<index].allSatisfy({ word in
                        word.hasPrefix("@")
                            || ["public", "package", "internal", "private", "fileprivate"]
                                .contains(String(word))
                    })
                else { return nil }
                let rest = words[(index + 1)...].drop { kinds.contains(String($0)) }
                return rest.first?.split(separator: ".").first
            }
        }
    }

    /// The folder that holds `Package.swift`.
    static let root: String = {
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(3)
        return parts.joined(separator: "/")
    }()

    /// Every file under a folder whose name ends so.
    static func files(_ folder: String, endingIn suffixes: String...) throws -> [File] {
        var found: [File] = []
        for name in LeakCheck.entries(of: "\(root)/\(folder)").sorted() {
            let path = "\(folder)/\(name)"
            var status = stat()
            guard stat("\(root)/\(path)", &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                for suffix in suffixes { found += try files(path, endingIn: suffix) }
            } else if suffixes.contains(where: { name.hasSuffix($0) }) {
                found.append(try file(path))
            }
        }
        return found
    }

    static func file(_ path: String) throws -> File {
        let text = try LeakCheck.text(of: "\(root)/\(path)")
        return File(
            path: path,
            lines: text.split(separator: "\n", omittingEmptySubsequences: false)
        )
    }
}
