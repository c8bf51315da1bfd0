// SPDX-License-Identifier: Apache-2.0
import TestSupport

/// A page of `docs`: its blocks of Swift as sources, and the first columns of its tables.
///
/// A block with `@main` is a program. Every other one stands in a function of its own,
/// `async throws`, whose parameter is `runtime`; its imports stand above that. One with an
/// `// error: TEXT` line is what must not compile, and a source of its own. Each line of a source
/// has the number that it has in the page.
struct Guide: Sendable, CustomStringConvertible {
    let name: String
    let text: String

    var description: String { name }

    init(name: String, text: String) {
        self.name = name
        self.text = text
    }

    /// Reads `docs/NAME`.
    init(_ name: String) throws {
        self.init(name: name, text: try LeakCheck.text(of: "\(Compiler.root)/docs/\(name)"))
    }

    /// What compiles: the programs, one source each, and one source with all that is in functions.
    var sources: [SourceText] {
        let whole = blocks.filter(\.isProgram).map { source(of: [$0], "Program\($0.begin + 1)") }
        let parts = blocks.filter { !$0.isProgram && !$0.isRefused }
        return parts.isEmpty ? whole : whole + [source(of: parts, "Parts")]
    }

    /// What the compiler refuses, with its marks.
    var misuses: [SourceText] {
        blocks.filter(\.isRefused).map { source(of: [$0], "Misuse\($0.begin + 1)") }
    }

    /// What stands between backquotes in the first cells of the tables' rows.
    var firstColumn: Set<String> {
        var names: Set<String> = []
        for line in lines where line.hasPrefix("| ") {
            guard let cell = line.dropFirst(2).split(separator: "|").first else { continue }
            for (index, part) in cell.split(separator: "`", omittingEmptySubsequences: false)
                .enumerated() where index % 2 == 1
            {
                names.insert(String(part))
            }
        }
        return names
    }

    /// The words of letters, digits and `_` that are asked for.
    func words(where isMeant: (String) -> Bool) -> Set<String> {
        Set(
            text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
                .filter(isMeant)
        )
    }

    private var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// Where the fences of a block stand, and what is between them.
    private struct Block {
        let begin: Int
        var lines: [Substring] = []

        var isProgram: Bool { lines.contains { $0.hasPrefix("@main") } }
        var isRefused: Bool { lines.contains { $0.drop { $0 == " " }.hasPrefix("// error: ") } }
    }

    private var blocks: [Block] {
        var blocks: [Block] = []
        var isInside = false
        for (index, line) in lines.enumerated() {
            if isInside, line == "```" {
                isInside = false
            } else if isInside {
                blocks[blocks.count - 1].lines.append(line)
            } else if line == "```swift" {
                isInside = true
                blocks.append(Block(begin: index))
            }
        }
        return blocks
    }

    private func source(of blocks: [Block], _ title: String) -> SourceText {
        var source = lines.map { _ in Substring() }
        var imports = ["import Noria"]
        for block in blocks {
            for (offset, line) in block.lines.enumerated() {
                if !block.isProgram, line.hasPrefix("import ") {
                    imports.append(String(line))
                } else {
                    source[block.begin + 1 + offset] = line
                }
            }
            guard !block.isProgram else { continue }
            source[block.begin] =
                "nonisolated func block\(block.begin)(_ runtime: Runtime) async throws {"
            source[block.begin + block.lines.count + 1] = "}"
        }
        // A page begins with its title, so its first line is free.
        source[0] = Substring(imports.joined(separator: "; "))
        return SourceText(
            name: "\(name.split(separator: ".")[0])-\(title).swift",
            text: source.joined(separator: "\n")
        )
    }
}
