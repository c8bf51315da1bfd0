// SPDX-License-Identifier: Apache-2.0
import Hummingbird

/// The values behind a request's `?`, each within its bounds; nil where it is not there.
///
/// - Throws: `HTTPError`, a 400 that says what may stand there.
struct Query {
    private let request: Request

    init(_ request: Request) { self.request = request }

    func integer(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
        guard let text = value(name) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw refusal(name, text, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func time(_ name: String, in range: ClosedRange<Duration>) throws -> Duration? {
        guard let text = value(name) else { return nil }
        guard let time = Self.time(text), range.contains(time) else {
            let (from, to) = (
                Int(range.lowerBound.milliseconds), Int(range.upperBound.milliseconds)
            )
            throw refusal(name, text, "a time as 200ms or 1s, from \(from) to \(to) ms")
        }
        return time
    }

    /// A whole number and its unit.
    private static func time(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int(digits), number <= 1_000_000 else { return nil }
        return switch text.dropFirst(digits.count) {
        case "us": .microseconds(number)
        case "ms": .milliseconds(number)
        case "s": .seconds(number)
        default: nil
        }
    }

    private func value(_ name: String) -> String? {
        request.uri.queryParameters[name[...]].map(String.init)
    }

    private func refusal(_ name: String, _ text: String, _ allowed: String) -> HTTPError {
        HTTPError(.badRequest, message: "\(name)=\(text.prefix(40)): \(allowed)")
    }
}
