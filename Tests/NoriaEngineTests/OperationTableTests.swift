// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import NoriaEngine

private final class Owner: OperationOwner {
    func complete(_ completion: Completion, kind: Submission.Kind) {}
}

extension OperationTable {
    fileprivate mutating func add(_ owner: Owner, _ descriptor: Int32 = 3) -> Token {
        let token = nextToken()
        insert(token, .receive, descriptor, owner: owner)
        return token
    }
}

@Suite("OperationTable ties each answer to one operation")
struct OperationTableTests {
    private let owner = Owner()

    @Test("A token finds its operation until it is removed, and then nothing")
    func life() {
        var table = OperationTable()
        let token = table.add(owner, 42)
        #expect(table.count == 1)
        #expect(table.find(token)?.kind == .receive)
        #expect(table.find(token)?.descriptor == 42)
        let removed = table.remove(token)
        #expect(removed?.owner === owner)
        #expect(removed?.kind == .receive)
        #expect(table.find(token) == nil)
        #expect(table.remove(token) == nil)
        #expect(table.count == 0)
    }

    @Test("A late answer does not find the slot's next tenant")
    func generations() {
        var table = OperationTable()
        let first = table.add(owner)
        _ = table.remove(first)
        let second = table.add(owner)
        #expect(first.slot == second.slot)
        #expect(first != second)
        #expect(table.find(first) == nil)
        #expect(table.remove(first) == nil)
        #expect(table.find(second) != nil)
        #expect(table.count == 1)
    }

    @Test("The next token is not taken before it is inserted")
    func nextToken() {
        var table = OperationTable()
        let named = table.nextToken()
        #expect(table.nextToken() == named)
        #expect(table.find(named)?.kind == nil || table.tokens.isEmpty)
        #expect(table.count == 0)
        table.insert(named, .send, 1, owner: owner)
        #expect(table.nextToken() != named)
    }

    @Test("It grows beyond its capacity and keeps every operation")
    func grows() {
        var table = OperationTable(capacity: 2)
        let tokens = (0..<1000).map { table.add(owner, Int32($0)) }
        #expect(Set(tokens).count == 1000)
        #expect(table.count == 1000)
        #expect(table.tokens == tokens)
        for (index, token) in tokens.enumerated() {
            #expect(table.find(token)?.descriptor == Int32(index))
        }
        for token in tokens.reversed() { #expect(table.remove(token) != nil) }
        #expect(table.count == 0)
        #expect(table.tokens == [])
    }

    @Test(
        "A token never made finds nothing",
        arguments: [Token.none, Token(slot: 9, generation: 1)]
    )
    func unknown(token: Token) {
        var table = OperationTable()
        _ = table.add(owner)
        #expect(table.find(token) == nil)
        #expect(table.remove(token) == nil)
        #expect(table.count == 1)
    }

    @Test("An operation that has ended lets go of its owner, and so does the table's end")
    func letsGo() {
        weak var ended: Owner?
        weak var underWay: Owner?
        do {
            var table = OperationTable()
            do {
                let (first, second) = (Owner(), Owner())
                (ended, underWay) = (first, second)
                let token = table.add(first)
                _ = table.add(second)
                _ = table.remove(token)
            }
            #expect(ended == nil)
            #expect(underWay != nil)
        }
        #expect(underWay == nil)
    }

    @Test("A token keeps slot, generation and kind apart, at their limits, too")
    func tokenFields() {
        for slot in [0, 1, UInt32.max] {
            for generation in [0, 1, Token.generationMask] {
                for kind in [Token.Kind.operation, .receive, .wakeup, .cancellation] {
                    let token = Token(slot: slot, generation: generation, kind: kind)
                    #expect(token.slot == slot)
                    #expect(token.generation == generation)
                    #expect(token.kind == kind)
                    #expect(Token(rawValue: token.rawValue) == token)
                }
            }
        }
    }
}
