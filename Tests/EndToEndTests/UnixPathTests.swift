// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("a Unix path that is taken, stale or impossible", .serialized)
struct UnixPathTests {
    private func refused(_ name: String) throws -> String {
        let process = try ChildProcess("noria", ["echo", "--unix", name])
        try process.expectExit(.code(1))
        return try process.errors.all()
    }

    @Test("the path of one who was killed is taken over", arguments: Backends.all)
    func stale(backend: String) throws {
        let killed = try UnixEchoServer(backend)
        killed.process.signal(SIGKILL)
        try killed.process.expectExit(.signal(SIGKILL))
        #expect(killed.folder.entries == ["echo.sock"])
        let server = try UnixEchoServer(backend, in: killed.folder)
        let client = try server.connect()
        try client.send([1])
        #expect(try client.receive(exactly: 1) == [1])
        client.close()
        #expect(try server.end() == .code(0))
        #expect(server.folder.entries == [])
    }

    @Test("a path on which somebody listens is refused, and he notices nothing")
    func live() throws {
        let server = try UnixEchoServer(Backends.all[0])
        let client = try server.connect()
        let errors = try refused(server.name)
        #expect(
            errors.contains(
                "listen on unix:\(server.name): the address is in use (EADDRINUSE); "
                    + "another process listens there"
            )
        )
        try client.send([1])
        #expect(try client.receive(exactly: 1) == [1])
        client.close()
        #expect(server.folder.entries == ["echo.sock"])
        #expect(try server.end() == .code(0))
    }

    @Test("so is one whose queue is full, and one that is no stream")
    func others() throws {
        let folder = try TemporaryFolder()
        let full = try BlockingListener(unix: "\(folder.path)/full", backlog: 0)
        let queued = try BlockingClient(unix: "\(folder.path)/full")
        #expect(try refused("\(folder.path)/full").contains("its queue is full"))
        #expect(folder.entries == ["full"])
        queued.close()
        withExtendedLifetime(full) {}
        let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(fd) }
        #expect(BlockingListener.bind(fd, to: "\(folder.path)/datagrams") == 0)
        #expect(try refused("\(folder.path)/datagrams").contains("a socket that is no stream"))
        #expect(folder.entries == ["datagrams", "full"])
    }

    @Test("what is no socket is named and left alone")
    func noSocket() throws {
        let folder = try TemporaryFolder()
        let kinds = ["a directory": "d", "a regular file": "f", "a symbolic link": "l"]
        mkdir("\(folder.path)/d", 0o700)
        close(open("\(folder.path)/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
        symlink("f", "\(folder.path)/l")
        for (kind, name) in kinds {
            let errors = try refused("\(folder.path)/\(name)")
            #expect(errors.contains("\(kind) is there, not a socket, and is left alone"))
            #expect(errors.contains("the address is in use (EADDRINUSE)"))
        }
        #expect(folder.entries == ["d", "f", "l"])
    }

    @Test("a path that is too long says the limit and its length; one without a folder, what to do")
    func impossible() throws {
        let folder = try TemporaryFolder()
        let longest =
            folder.path + "/" + String(repeating: "x", count: 106 - folder.path.utf8.count)
        let server = try UnixEchoServer(
            Backends.all[0],
            in: folder,
            name: String(longest.dropFirst(folder.path.count + 1))
        )
        #expect(server.name.utf8.count == 107)
        let client = try server.connect()
        try client.send([1])
        #expect(try client.receive(exactly: 1) == [1])
        client.close()
        #expect(try server.end() == .code(0))
        let errors = try refused(longest + "y")
        #expect(errors.contains("the path has 108 bytes, and the limit is 107"))
        #expect(try refused("@" + String(repeating: "x", count: 108)).contains("has 108 bytes"))
        #expect(try refused("@").contains("the abstract name is empty"))
        #expect(try refused("").contains("the path is empty"))
        #expect(try refused("\(folder.path)/no/x").contains("(ENOENT); the folder does not exist"))
        close(open("\(folder.path)/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
        #expect(try refused("\(folder.path)/f/x").contains("a part of the path is no folder"))
    }

    @Test(
        "at its end a listener leaves a path alone that another has taken",
        arguments: Backends.all
    )
    func replaced(backend: String) throws {
        let server = try UnixEchoServer(backend)
        let client = try server.connect()
        unlink(server.name)
        let other = try BlockingListener(unix: server.name)
        client.close()
        #expect(try server.end() == .code(0))
        #expect(server.folder.entries == ["echo.sock"])
        let caller = try server.connect()
        try other.accept().send([5])
        #expect(try caller.receiveAll() == [5])
    }
}
