// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("What the pages show and name is there")
struct MarkdownTests {
    @Test("README.md shows ProductionService.swift as it is, in 80 lines at most")
    func program() throws {
        let path = "Examples/Sources/ProductionService/ProductionService.swift"
        let program = try SourceTree.file(path).lines.dropLast()
        let lines = try SourceTree.file("README.md").lines
        let begin = try #require(lines.firstIndex { $0.hasPrefix("// SPDX-") }, "no program")
        #expect(lines[begin - 1] == "```swift")
        let shown = lines[begin...].prefix { $0 != "```" }
        #expect(shown.elementsEqual(program), "run Scripts/readme")
        #expect((40...80).contains(program.count), "\(program.count) lines")
    }

    @Test("Every link of a page leads to a file, and to a heading in it")
    func links() throws {
        var count = 0
        for page in try Self.pages() {
            let folder = page.path.split(separator: "/").dropLast().map { "\($0)/" }.joined()
            for link in Self.links(in: page) where !link.contains(":") {
                count += 1
                let parts = link.split(separator: "#", omittingEmptySubsequences: false)
                let path = parts[0].isEmpty ? page.path : folder + parts[0]
                #expect(access("\(SourceTree.root)/\(path)", R_OK) == 0, "\(page): \(link)")
                guard parts.count > 1, let target = try? SourceTree.file(path) else { continue }
                #expect(Self.anchors(in: target).contains(String(parts[1])), "\(page): \(link)")
            }
        }
        #expect(count > 50, "\(count)")
    }

    @Test("The reader of links finds them, and what GitHub calls a heading")
    func reader() {
        let page = SourceTree.File(
            path: "x.md",
            lines: ["a [b](c.md#d-e) and ![f](g.svg)", "## What's `x`, at 1.5 s", "[h](https://i)"]
        )
        #expect(Self.links(in: page) == ["c.md#d-e", "g.svg", "https://i"])
        #expect(Self.anchors(in: page) == ["whats-x-at-15-s"])
    }

    private static func pages() throws -> [SourceTree.File] {
        let top = LeakCheck.entries(of: SourceTree.root).filter { $0.hasSuffix(".md") }
        return try top.map { try SourceTree.file($0) }
            + SourceTree.files("docs", endingIn: ".md")
            + SourceTree.files("Sources", endingIn: ".md")
            + ["Benchmarks/README.md", "Examples/README.md"].map { try SourceTree.file($0) }
    }

    private static func links(in page: SourceTree.File) -> [String] {
        page.lines.flatMap { line in
            line.split(separator: "](", omittingEmptySubsequences: false).dropFirst()
                .map { String($0.prefix { $0 != ")" }) }
        }
    }

    /// What GitHub makes of a heading: letters, digits, hyphens.
    private static func anchors(in page: SourceTree.File) -> [String] {
        page.lines.filter { $0.hasPrefix("#") }.map { heading in
            String(
                heading.drop { $0 == "#" }.dropFirst().lowercased()
                    .filter { $0.isLetter || $0.isNumber || "-_ ".contains($0) }
                    .map { $0 == " " ? "-" : $0 }
            )
        }
    }
}
