// SPDX-License-Identifier: Apache-2.0
import Noria
import Property

/// One text, read by `SocketAddress` and by the model: they accept the same, and mean the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSocketAddress(_ bytes: UnsafePointer<UInt8>?, _ byteCount: Int) -> CInt {
    let text = String(decoding: UnsafeBufferPointer(start: bytes, count: byteCount), as: UTF8.self)
    do throws(NetworkError) {
        let address = try SocketAddress(text)
        if text.utf8.starts(with: UnixModel.prefix) {
            guard let model = UnixModel(text) else {
                fatalError("\(address) is read from no Unix address")
            }
            checkRead(address, model)
        } else {
            guard let model = AddressModel(text) else {
                fatalError("\(address) is read from no literal")
            }
            checkRead(address, model)
        }
    } catch {
        expect(UnixModel(text) == nil, "a Unix address is refused: \(error)")
        let isUnix = text.utf8.starts(with: UnixModel.prefix)
        expect(isUnix || AddressModel(text) == nil, "a literal is refused: \(error)")
        expect(error.kind == .badAddress, "the kind is \(error.kind)")
        expect(error.errno == nil && error.address == nil, "the kernel was asked: \(error)")
        expect(contains(error.description, text), "the error does not name the text: \(error)")
    }
    return 0
}

private func checkRead(_ address: SocketAddress, _ model: UnixModel) {
    expect(address.port == nil, "\(address) has a port")
    checkWritten(address)
    // Printable, in one line: only those of a valid text are more than ASCII.
    let written = Array(address.description.unicodeScalars)
    expect(!written.contains { $0.value < 32 || $0.value == 127 }, "\(written) has controls")
    let plain = read(model.spelling)
    expect(plain == address, "\(address) differs from \(model.spelling)")
    expect(UnixModel(address.description)?.name == model.name, "\(address) has another name")
    guard model.isAbstract, let name = String(validating: model.name, as: UTF8.self) else { return }
    let apart = Result { () throws(NetworkError) in try SocketAddress.abstract(name) }
    expect((try? apart.get()) == address, "\(name) apart gives \(apart)")
}

private func checkRead(_ address: SocketAddress, _ model: AddressModel) {
    guard let port = address.port else { fatalError("\(address) has no port") }
    expect(port == Int(model.port), "the port is \(port), not \(model.port)")
    checkWritten(address)
    // So does the plainest spelling: eight groups of hexadecimal digits, or four decimal numbers.
    let plain = read(model.spelling)
    expect(plain == address, "\(address) differs from \(model.spelling)")
    // A host and a port, given apart.
    let apart = Result { () throws(NetworkError) in
        try SocketAddress.ip(model.host, port: port)
    }
    expect((try? apart.get()) == address, "\(model.host) and \(port) apart give \(apart)")
}

/// What is written reads as the same address, and is written the same again.
private func checkWritten(_ address: SocketAddress) {
    let again = read(address.description)
    expect(again == address, "\(address) reads as \(again)")
    expect(again.hashValue == address.hashValue, "\(address) has two hash values")
    expect(again.description == address.description, "\(address) is written \(again)")
}

private func read(_ text: String) -> SocketAddress {
    do {
        return try SocketAddress(text)
    } catch {
        fatalError("what was written is refused: \(error)")
    }
}

/// Whether the bytes of `part` stand in those of `text`; characters would grow together.
private func contains(_ text: String, _ part: String) -> Bool {
    let text = Array(text.utf8)
    let part = Array(part.utf8)
    return text.indices.contains { text[$0...].starts(with: part) }
}
