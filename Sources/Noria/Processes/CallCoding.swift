// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials

/// How calls and results travel: as JSON.
///
/// A binary property list takes twice the time for a kibibyte: decision 12. Numbers that JSON does
/// not know travel as texts.
enum CallCoding {
    private static let (infinity, negative, nan) = ("inf", "-inf", "nan")

    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: infinity,
            negativeInfinity: negative,
            nan: nan
        )
        return [UInt8](try encoder.encode(value))
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: infinity,
            negativeInfinity: negative,
            nan: nan
        )
        return try decoder.decode(type, from: Data(bytes))
    }
}
