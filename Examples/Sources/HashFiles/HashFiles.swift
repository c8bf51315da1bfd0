// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// FNV-1a, 64 bits: enough to tell files apart, and no protection against anyone.
struct Hash: Sendable {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ bytes: [UInt8]) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
}

/// A line for each file of a folder and those in it: `HashFiles FOLDER`.
///
/// The loop only passes things on: files are read on the threads of `runtime.blocking`, and hashed
/// on those of `runtime.compute`, eight files at a time.
@main
struct HashFiles {
    static func main() {
        guard CommandLine.arguments.count == 2 else {
            print("usage: HashFiles FOLDER")
            exit(64)
        }
        let folder = FilePath(CommandLine.arguments[1])
        Runtime.main { runtime in
            var (fileCount, byteCount) = (0, 0)
            try await withThrowingTaskGroup(of: (FilePath, UInt64, Int).self) { group in
                for (index, path) in try await files(in: folder).enumerated() {
                    if index >= 8, let (path, hash, count) = try await group.next() {
                        report(path, hash)
                        (fileCount, byteCount) = (fileCount + 1, byteCount + count)
                    }
                    group.addTask { try await hash(path, runtime) }
                }
                for try await (path, hash, count) in group {
                    report(path, hash)
                    (fileCount, byteCount) = (fileCount + 1, byteCount + count)
                }
            }
            print("\(fileCount) files, \(byteCount) bytes")
        }
    }

    static func report(_ path: FilePath, _ hash: UInt64) {
        print(String(hash, radix: 16), path)
    }

    static func files(in folder: FilePath) async throws -> [FilePath] {
        var found: [FilePath] = []
        for name in try await File.entries(of: folder) {
            let path = folder.appending(name)
            // A link that leads nowhere is no reason to stop.
            switch try? await File.status(of: path).kind {
            case .directory: found += try await files(in: path)
            case .regular: found.append(path)
            default: continue
            }
        }
        return found
    }

    static func hash(_ path: FilePath, _ runtime: Runtime) async throws -> (FilePath, UInt64, Int) {
        try await withFile(path) { file in
            var (hash, byteCount) = (Hash(), 0)
            for try await chunk in file.chunks(byteCount: 1 << 20) {
                byteCount += chunk.count
                hash = try await runtime.compute.run(name: "hash \(path)") { [hash] in
                    var hash = hash
                    hash.add(chunk)
                    return hash
                }
            }
            return (path, hash.value, byteCount)
        }
    }
}
