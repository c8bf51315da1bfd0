// SPDX-License-Identifier: Apache-2.0
import Property

/// The bytes of a connection, from the first on.
///
/// The parser is asked after each byte, as if they came one by one, and the model all at once. The
/// file of the parser is the runtime's own, compiled here once more, since it is none of its API.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzProxyHeader(_ bytes: UnsafePointer<UInt8>?, _ byteCount: Int) -> CInt {
    let input = [UInt8](UnsafeRawBufferPointer(start: bytes, count: byteCount))
    var answer: HeaderModel.Answer?
    for count in 0...input.count {
        let now: HeaderModel.Answer?
        do throws(ProxyHeader.Malformed) {
            now = try ProxyHeader.read(Array(input.prefix(count))).map { .header($0) }
        } catch {
            now = .refused
        }
        if let answer {
            expect(now == answer, "\(now as Any) at \(count), \(answer) before")
        } else {
            answer = now
            let limit = ProxyHeader.byteCountLimit
            expect(now != nil || count < limit, "\(count) bytes don't suffice")
        }
        if case .header(let header)? = now {
            expect(header.byteCount <= count, "\(header.byteCount) of \(count) bytes")
        }
    }
    let expected = HeaderModel.answer(input)
    expect(answer == expected, "\(answer as Any), not \(expected as Any)")
    return 0
}
