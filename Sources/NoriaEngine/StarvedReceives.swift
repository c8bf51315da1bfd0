// SPDX-License-Identifier: Apache-2.0

/// A first-in, first-out line of receives that found no buffer.
///
/// A receive leaves from the middle when it is cancelled: it is only crossed out, and the line
/// is tightened when more than half of it is.
struct StarvedReceives: ~Copyable {
    private var line: [Token] = []
    private var head = 0
    private var waiting: Set<Token> = []

    var isEmpty: Bool { waiting.isEmpty }

    mutating func append(_ token: Token) {
        line.append(token)
        waiting.insert(token)
    }

    mutating func popFirst() -> Token? {
        while head < line.count {
            let token = line[head]
            head += 1
            tighten()
            if waiting.remove(token) != nil { return token }
        }
        return nil
    }

    mutating func remove(_ token: Token) -> Bool {
        !waiting.isEmpty && waiting.remove(token) != nil
    }

    private mutating func tighten() {
        guard head > 64, head * 2 > line.count else { return }
        line.removeFirst(head)
        head = 0
    }
}
