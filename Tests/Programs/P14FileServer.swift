// SPDX-License-Identifier: Apache-2.0
import Noria

@main struct FileServer {
    static func main() {
        Runtime.main { _ in
            try await TCPListener.bind(host: "0.0.0.0", port: 7013).serve { connection in
                for try await line in connection.inbound.lines() {
                    guard let component = FilePath.Component(line) else { return }
                    do {
                        try await withFile(FilePath("/srv").appending(component)) { file in
                            try await connection.outbound.write(contentsOf: file)
                        }
                    } catch let error as FileError where error.errno == .noSuchFileOrDirectory {
                        try await connection.outbound.write("no \(error.path)\n")
                    }
                }
            }
        }
    }
}

/// Readers see the old or the new, and never a part.
nonisolated func replace(_ path: FilePath, with bytes: [UInt8]) async throws {
    let beside = FilePath("\(path).new")
    try await withFile(beside, .writeOnly, options: [.create, .truncate]) { file in
        try await file.write(bytes, at: 0)
        try await file.sync()
    }
    try await File.rename(beside, to: path)
}
