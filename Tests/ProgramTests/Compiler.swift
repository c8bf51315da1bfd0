// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport

/// What the compiler said of a line.
struct Diagnostic: Sendable, CustomStringConvertible {
    let line: Int
    let kind: String
    let text: String

    var description: String { "\(line): \(kind): \(text)" }
}

/// A source file, and the diagnostics that it expects.
struct SourceText: Sendable, CustomStringConvertible {
    let name: String
    let text: String

    var description: String { name }

    /// The `// error: TEXT` and `// warning: TEXT` lines, each with the number of the next line of
    /// code, which it speaks of.
    var marks: [Diagnostic] {
        var marks: [Diagnostic] = []
        var waiting: [(kind: String, text: String)] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            let code = line.drop { $0 == " " }
            if let kind = ["error", "warning"].first(where: { code.hasPrefix("// \($0): ") }) {
                waiting.append((kind, String(code.dropFirst(kind.utf8.count + 5))))
            } else {
                marks += waiting.map { Diagnostic(line: index + 1, kind: $0.kind, text: $0.text) }
                waiting = []
            }
        }
        return marks
    }

    /// The Swift files of a folder of the repository, but not of those in it.
    static func files(in folder: String) throws -> [SourceText] {
        let path = "\(Compiler.root)/\(folder)"
        let names = LeakCheck.entries(of: path).filter { $0.hasSuffix(".swift") }
        guard !names.isEmpty else { throw Compiler.Failure("no program in \(folder)") }
        return try names.sorted().map {
            SourceText(name: $0, text: try LeakCheck.text(of: "\(path)/\($0)"))
        }
    }
}

/// Checks sources against the modules that this build has made.
enum Compiler {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

    /// What the compiler says of a program on its own.
    static func check(_ source: SourceText, _ mode: UserMode) throws -> [Diagnostic] {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = "\(folder.path)/\(source.name)"
        try write(source.text, to: path)
        let compiler = try ChildProcess(
            "/usr/bin/env",
            ["swiftc", "-typecheck", "-parse-as-library"] + mode.flags + modules + [path]
        )
        let exit = try compiler.waitForExit(seconds: 120)
        let diagnostics = try compiler.errors.all().split(separator: "\n").compactMap {
            diagnostic(in: $0, path)
        }
        // Whatever it failed of, it is no verdict on the program when it names no line of it.
        guard exit == .code(0) || diagnostics.contains(where: { $0.kind == "error" }) else {
            throw Failure("swiftc: \(exit): \(try compiler.errors.all())")
        }
        return diagnostics
    }

    /// The build's modules, and the maps of the modules in C that they were compiled with.
    private static var modules: [String] {
        let products = ChildProcess.productFolder
        // The fetched packages lie beside the products' folder, which bears the platform's name.
        let scratch = products.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" }
        return ["-I", "\(products)/Modules"]
            + [
                "\(products)/CNoria.build/module.modulemap",
                "\(scratch)/checkouts/swift-system/Sources/CSystem/include/module.modulemap",
            ].flatMap { ["-Xcc", "-fmodule-map-file=\($0)"] }
    }

    /// Reads `PATH:LINE:COLUMN: KIND: TEXT`; nil for what is none, or of another file.
    private static func diagnostic(in line: Substring, _ path: String) -> Diagnostic? {
        guard line.hasPrefix("\(path):") else { return nil }
        let parts = line.dropFirst(path.utf8.count + 1).split(separator: ":", maxSplits: 3)
        guard parts.count == 4, let number = Int(parts[0]) else { return nil }
        let kind = parts[2].drop { $0 == " " }
        guard kind == "error" || kind == "warning" else { return nil }
        return Diagnostic(
            line: number,
            kind: String(kind),
            text: String(parts[3].drop { $0 == " " })
        )
    }

    private static func write(_ text: String, to path: String) throws {
        guard let file = fopen(path, "w") else { throw Failure("no file \(path)") }
        defer { fclose(file) }
        guard fputs(text, file) >= 0 else { throw Failure("can't write \(path)") }
    }
}
