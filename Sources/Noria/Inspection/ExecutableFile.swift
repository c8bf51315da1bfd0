// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// What a program's file says of how it was made: a small reader of ELF, 64 bits, little-endian.
///
/// It trusts nothing in the file: each length has a limit, and what doesn't fit is not there.
struct ExecutableFile: ~Copyable {
    private let fd: Int32
    private let header: [UInt8]

    /// Nil where it can't be read, or is no such file.
    init?(_ path: String) {
        guard let fd = try? Files.open(FilePath(path), flags: 0, permissions: []) else {
            return nil
        }
        let header = Self.bytes(of: fd, at: 0, count: 64)
        // 0x7f, E, L, F; 64 bits; little-endian.
        guard header.count == 64, header.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]) else {
            Descriptor.close(fd)
            return nil
        }
        self.fd = fd
        self.header = header
    }

    deinit { Descriptor.close(fd) }

    /// Whether Go's linker has made it: a note named `Go`, of type 4, that stripping leaves.
    var isGo: Bool {
        let (offset, size) = (header.number(at: 32, 8), header.number(at: 54, 2))
        for index in 0..<header.number(at: 56, 2) where size >= 56 {
            let entry = Self.bytes(of: fd, at: offset &+ index * size, count: 56)
            // PT_NOTE
            guard entry.count == 56, entry.number(at: 0, 4) == 4 else { continue }
            let length = min(entry.number(at: 32, 8), 65_536)
            if hasGoNote(Self.bytes(of: fd, at: entry.number(at: 8, 8), count: length)) {
                return true
            }
        }
        return false
    }

    private func hasGoNote(_ notes: [UInt8]) -> Bool {
        var place = 0
        while notes.count - place >= 16 {
            let (name, text) = (notes.number(at: place, 4), notes.number(at: place + 4, 4))
            if name == 4, notes.number(at: place + 8, 4) == 4,
                notes[(place + 12)...].starts(with: "Go\0\0".utf8)
            {
                return true
            }
            place += 12 + (name + 3) / 4 * 4 + (text + 3) / 4 * 4
        }
        return false
    }

    /// `go1.24.3`, of Go 1.18 or later.
    var goVersion: String? {
        guard let part = section(".go.buildinfo") else { return nil }
        let bytes = Self.bytes(of: fd, at: part.lowerBound, count: min(part.count, 96))
        // The magic, the size of a pointer, flags: 2 says that the text stands in line from 32 on.
        guard bytes.count > 33, bytes[15] & 2 != 0, bytes[32] < 64 else { return nil }
        return String(decoding: bytes[33...].prefix(Int(bytes[32])), as: UTF8.self)
    }

    /// Whether a section holds these bytes; nil when there is no such section.
    func holds(_ text: StaticString, in name: String) -> Bool? {
        section(name).map { SystemFile.contains(text, in: fd, $0) }
    }

    /// Where a section lies; 256 MiB of it are looked at.
    private func section(_ name: String) -> Range<Int>? {
        let size = header.number(at: 58, 2)
        let count = min(header.number(at: 60, 2), 4096)
        guard size == 64, header.number(at: 62, 2) < count else { return nil }
        let table = Self.bytes(of: fd, at: header.number(at: 40, 8), count: count * size)
        guard table.count == count * size else { return nil }
        func part(_ index: Int) -> Range<Int> {
            let begin = min(table.number(at: index * size + 24, 8), .max >> 1)
            return begin..<begin + min(table.number(at: index * size + 32, 8), 256 << 20)
        }
        let names = part(header.number(at: 62, 2))
        let text = Self.bytes(of: fd, at: names.lowerBound, count: min(names.count, 1 << 20))
        for index in 0..<count {
            let place = table.number(at: index * size, 4)
            // SHT_NOBITS, 8, has no bytes in the file.
            guard place < text.count, table.number(at: index * size + 4, 4) != 8,
                text[place...].prefix(while: { $0 != 0 }).elementsEqual(name.utf8)
            else { continue }
            return part(index)
        }
        return nil
    }

    private static func bytes(of fd: Int32, at offset: Int, count: Int) -> [UInt8] {
        guard offset >= 0, count > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        let read = bytes.withUnsafeMutableBytes { try? Files.read(fd, into: $0, at: offset) }
        return Array(bytes.prefix(read ?? 0))
    }
}

extension [UInt8] {
    /// Little-endian; what is larger than an `Int` is the largest one.
    fileprivate func number(at place: Int, _ byteCount: Int) -> Int {
        var number: UInt64 = 0
        for byte in self[place..<place + byteCount].reversed() {
            number = number << 8 | UInt64(byte)
        }
        return Int(clamping: number)
    }
}
