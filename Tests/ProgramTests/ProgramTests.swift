// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("What users write against the API compiles, and what they should not is told so")
struct ProgramTests {
    @Test(
        "a program compiles without a warning in each of the users' modes",
        arguments: try SourceText.files(in: "Tests/Programs"),
        UserMode.all
    )
    func compiles(program: SourceText, mode: UserMode) throws {
        let result = try Compiler.check(program, mode)
        let unexpected = result.filter { !mode.allows($0) }
        #expect(unexpected.isEmpty, "\(program) in \(mode): \(unexpected)")
    }

    @Test(
        "a misuse is refused where it stands, in the words that its file holds",
        arguments: try SourceText.files(in: "Tests/Programs/Misuses")
    )
    func misuse(program: SourceText) throws {
        let expected = program.marks
        #expect(!expected.isEmpty, "\(program) marks no diagnostic")
        let seen = try Compiler.check(program, UserMode.all[0])
        for mark in expected {
            #expect(
                seen.contains {
                    $0.line == mark.line && $0.kind == mark.kind && $0.text.contains(mark.text)
                },
                "\(program):\(mark.line): no \(mark.kind) '\(mark.text)' in \(seen)"
            )
        }
        // The user's eye falls on the right line only if no other is accused.
        let lines = Set(expected.map(\.line))
        #expect(seen.allSatisfy { lines.contains($0.line) }, "\(program): \(seen)")
    }

    @Test("the check sees an error, a warning and a missing module")
    func canFail() throws {
        let mode = UserMode.all[0]
        let broken = SourceText(name: "Broken.swift", text: "let number: Int = \"text\"\n")
        #expect(try Compiler.check(broken, mode).map(\.kind) == ["error"])
        let unused = SourceText(name: "Unused.swift", text: "func f() { let a = 1 }\n")
        #expect(try Compiler.check(unused, mode).map(\.kind) == ["warning"])
        let missing = SourceText(name: "Missing.swift", text: "import NoriaOfNoOne\n")
        #expect(try Compiler.check(missing, mode).map(\.kind) == ["error"])
    }
}

/// What a user's module is compiled with.
struct UserMode: Sendable, CustomStringConvertible {
    let description: String
    let flags: [String]

    static let all = [
        UserMode(description: "Swift 6", flags: ["-swift-version", "6"]),
        UserMode(
            description: "Swift 6 with the upcoming features",
            flags: ["-swift-version", "6"]
                + [
                    "ExistentialAny", "InternalImportsByDefault", "MemberImportVisibility",
                    "NonisolatedNonsendingByDefault",
                ].flatMap { ["-enable-upcoming-feature", $0] }
        ),
        UserMode(
            description: "Swift 6, MainActor by default",
            flags: ["-swift-version", "6", "-default-isolation", "MainActor"]
        ),
        UserMode(description: "Swift 5", flags: ["-swift-version", "5"]),
    ]

    /// In Swift 5 the name of a function, passed as a handler, warns: nothing that we could change.
    func allows(_ diagnostic: Diagnostic) -> Bool {
        description == "Swift 5" && diagnostic.kind == "warning"
            && diagnostic.text.hasPrefix("converting non-Sendable function value")
    }
}
