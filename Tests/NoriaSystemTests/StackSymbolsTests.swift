// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@testable import NoriaSystem

@Suite struct StackSymbolsTests {
    @Test("A mapped file that looks like a library and ends too early is read over")
    func truncatedLibrary() throws {
        // The head of this program, with its table of segments beyond all memory.
        let descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var head = [UInt8](repeating: 0, count: 4096)
        try #require(read(descriptor, &head, head.count) == head.count)
        let tableOffset = 32..<40
        head.replaceSubrange(tableOffset, with: [0, 0, 0, 0, 0, 0x70, 0, 0])

        let folder = try TemporaryFolder()
        let odd = open("\(folder.path)/odd.so", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        try #require(odd >= 0)
        defer { close(odd) }
        try #require(write(odd, head, head.count) == head.count)
        let mapping = mmap(nil, head.count, PROT_READ | PROT_EXEC, MAP_PRIVATE, odd, 0)
        try #require(mapping != MAP_FAILED)
        defer { munmap(mapping, head.count) }

        // SAFETY: the address of a function of the C library's, never called.
        let address = try #require(dlsym(UnsafeMutableRawPointer(bitPattern: 0), "usleep"))
        let names = StackSymbols().names(of: [UInt(bitPattern: address)])
        #expect(names.first?.contains("usleep") == true)
    }
}
