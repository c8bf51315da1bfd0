// SPDX-License-Identifier: Apache-2.0
import Noria
import Property

/// A number of operations, two bytes for each of them, and the content that they read.
///
/// The content comes last: behind its end lies the end of libFuzzer's own memory.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzByteCursor(_ bytes: UnsafePointer<UInt8>?, _ byteCount: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: bytes, count: byteCount)
    guard let operationCount = input.first else { return 0 }
    var program = input.dropFirst().prefix(2 * Int(operationCount))
    let content = UnsafeRawBufferPointer(rebasing: input[program.endIndex...])
    var cursor = ByteCursor(content.bytes)
    var model = CursorModel(Array(content))
    expectSame(0, 0, "a new cursor", cursor, model)
    while let kind = program.popFirst(), let operand = program.popFirst() {
        run(kind, operand, &cursor, &model)
    }
    return 0
}

/// Runs one operation on both, and holds the results against each other.
private func run(
    _ kind: UInt8,
    _ operand: UInt8,
    _ cursor: inout ByteCursor,
    _ model: inout CursorModel
) {
    let count = model.count(operand)
    switch kind % 11 {
    case 0: readInteger(UInt8.self, &cursor, &model)
    case 1: readInteger(Int8.self, &cursor, &model)
    case 2: readInteger(UInt16.self, &cursor, &model)
    case 3: readInteger(Int16.self, &cursor, &model)
    case 4: readInteger(UInt32.self, &cursor, &model)
    case 5: readInteger(Int32.self, &cursor, &model)
    case 6: readInteger(UInt64.self, &cursor, &model)
    case 7: readInteger(Int64.self, &cursor, &model)
    case 8:
        let bytes = try? array(cursor.readBytes(count))
        expectSame(bytes, model.readBytes(count), "readBytes(\(count))", cursor, model)
    case 9:
        let bytes = try? array(cursor.readBytes(upTo: operand))
        let expected = model.readBytes(upTo: operand)
        expectSame(bytes, expected, "readBytes(upTo: \(operand))", cursor, model)
    default:
        // As bytes: texts are equal already when they look alike.
        let text = (try? cursor.readString(byteCount: count)).map { Array($0.utf8) }
        let expected = model.readString(byteCount: count).map { Array($0.utf8) }
        expectSame(text, expected, "readString(byteCount: \(count))", cursor, model)
    }
}

private func readInteger<Integer: FixedWidthInteger & BitwiseCopyable>(
    _ type: Integer.Type,
    _ cursor: inout ByteCursor,
    _ model: inout CursorModel
) {
    let integer = try? cursor.readInteger(type)
    expectSame(integer, model.readInteger(type), "readInteger(\(type))", cursor, model)
}

private func array(_ span: RawSpan) -> [UInt8] { span.withUnsafeBytes { Array($0) } }

/// The same result, nil for a refusal, and the same place: a refusal leaves it where it was.
private func expectSame<Result: Equatable>(
    _ result: Result?,
    _ expected: Result?,
    _ operation: @autoclosure () -> String,
    _ cursor: borrowing ByteCursor,
    _ model: CursorModel
) {
    let offset = cursor.byteOffset
    let left = cursor.remainingByteCount
    expect(result == expected, "\(operation()) gave \(result as Any), not \(expected as Any)")
    expect(offset == model.offset, "\(operation()) ended at \(offset), not \(model.offset)")
    expect(left == model.rest.count, "\(operation()) left \(left), not \(model.rest.count)")
}
