// SPDX-License-Identifier: Apache-2.0
#if NIO
/// A client of HTTP/2's frames in Python, with nothing but the standard library: libraries for
/// clients hide what becomes of a stream when the server goes away.
///
/// `python3 -c TEXT PORT tls|plain MODE`; its last line is `answered N refused N faults […]`, where
/// a stream that neither came whole nor was refused is a fault.
enum HTTP2Script {
    static let text = #"""
        import os, socket, ssl, struct, sys, threading, time
        port, tls, mode = int(sys.argv[1]), sys.argv[2] == "tls", sys.argv[3]
        class Session:
            def __init__(self, handshake_after=lambda: None):
                self.socket = socket.create_connection(("127.0.0.1", port))
                self.socket.settimeout(60)
                handshake_after()
                if tls:
                    context = ssl.create_default_context()
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                    context.set_alpn_protocols(["h2"])
                    self.socket = context.wrap_socket(self.socket)
                self.buffer, self.stream, self.last, self.pongs = b"", -1, None, 0
                self.open, self.answered, self.refused, self.notes = {}, 0, 0, []
                self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0, b""))
            def frame(self, kind, flags, stream, payload):
                return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
            def send(self, data): self.socket.sendall(data)
            def request(self, path="/"):
                self.stream += 2
                self.open[self.stream] = b""
                block = b"\x82\x87\x04" + bytes([len(path)]) + path.encode() + b"\x01\x01x"
                return self.frame(1, 5, self.stream, block)
            # Takes one read's frames; False at the end.
            def take(self):
                data = self.socket.recv(65536)
                self.buffer += data
                while len(self.buffer) >= 9:
                    size = int.from_bytes(self.buffer[:3], "big")
                    if len(self.buffer) < 9 + size: break
                    kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                    payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
                    self.take_frame(kind, flags, stream, payload)
                return len(data) > 0
            def take_frame(self, kind, flags, stream, payload):
                if kind == 0 and payload:
                    self.open[stream] += payload
                    more = struct.pack(">I", len(payload))
                    self.send(self.frame(8, 0, 0, more))
                if kind in (0, 1) and flags & 1:
                    body = self.open.pop(stream)
                    if body == b"hello": self.answered += 1
                    else: self.notes.append(f"stream {stream}: {body[:20]}")
                if kind == 3:
                    # 7 is REFUSED_STREAM: nothing of it was done, and it may be asked for again.
                    if payload == bytes([0, 0, 0, 7]): self.refused += 1
                    else: self.notes.append(f"stream {stream} was reset: {payload}")
                    self.open.pop(stream, None)
                if kind == 4 and not flags & 1: self.send(self.frame(4, 1, 0, b""))
                if kind == 6 and not flags & 1: self.send(self.frame(6, 1, 0, payload))
                if kind == 7:
                    self.last, code = struct.unpack(">II", payload[:8])
                    # After the last stream swift-nio-http2 calls a window update an error.
                    if code and self.open: self.notes.append(f"GOAWAY {code} {payload[8:]}")
                    for gone in [stream for stream in self.open if stream > self.last]:
                        del self.open[gone]
                        self.refused += 1
                if kind == 6 and flags & 1: self.pongs += 1
            # Until the end: what is open then is lost.
            def finish(self):
                try:
                    while self.take(): pass
                except (OSError, struct.error) as error: self.notes.append(repr(error))
                if self.open: self.notes.append(f"lost: {sorted(self.open)} after GOAWAY {self.last}")
        def load(count, width):
            sessions = [Session() for _ in range(count)]
            def run(session):
                try:
                    more = True
                    while more and session.last is None:
                        while len(session.open) < width: session.send(session.request())
                        more = session.take()
                except (OSError, struct.error) as error: session.notes.append(repr(error))
                session.finish()
            threads = [threading.Thread(target=run, args=(session,)) for session in sessions]
            for thread in threads: thread.start()
            while any(s.answered < 150 for s in sessions): time.sleep(0.01)
            print("under load", flush=True)
            for thread in threads: thread.join()
            tell(sessions)
        def tell(sessions):
            print("answered", sum(s.answered for s in sessions), "refused", sum(s.refused for s in sessions),
                  "faults", [note for s in sessions for note in s.notes], flush=True)
        def answer(session, path="/"):
            session.send(session.request(path))
            while session.open: assert session.take(), session.notes
        def slow_heads():
            silent, half, whole, idle = Session(), Session(), Session(), Session()
            answer(half)
            answer(idle)
            request = half.request()
            # HEADERS that go on, and do not; and the first byte of a frame.
            half.open = {}
            half.send(request[:4] + b"\1" + request[5:])
            whole.send(whole.request()[:1])
            for session in (silent, half, whole):
                session.open = {}
                session.finish()
            print("all slow ones ended", flush=True)
            time.sleep(2)
            idle.send(idle.frame(6, 0, 0, b"12345678"))
            while idle.pongs == 0: assert idle.take(), idle.notes
            time.sleep(2)
            answer(idle)
            tell([silent, half, whole, idle])
        def idle():
            session = Session()
            answer(session)
            began = time.time()
            session.finish()
            print("ended within", "time" if time.time() - began < 5 else "no time", session.last, flush=True)
            tell([session])
        def in_flight():
            sessions = [Session() for _ in range(3)]
            for session in sessions:
                for _ in range(10): session.send(session.request("/slow/700"))
                # An answer on the same connection: those before it have come in.
                session.send(session.request())
                while session.answered == 0: assert session.take(), session.notes
            print("under way", flush=True)
            for session in sessions: session.finish()
            tell(sessions)
        def handshake():
            def until_told():
                print("connected", flush=True)
                while not os.path.exists(sys.argv[4]): time.sleep(0.01)
            session = Session(until_told)
            try: session.send(session.request())
            except OSError as error: session.notes.append(repr(error))
            session.finish()
            tell([session])
        if mode == "load": load(8, 20)
        else: {"slow": slow_heads, "idle": idle, "flight": in_flight, "handshake": handshake}[mode]()
        """#
}
#endif
