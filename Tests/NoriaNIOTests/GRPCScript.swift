// SPDX-License-Identifier: Apache-2.0
#if GRPC
/// A client of gRPC's own, in Python: `python3 -c TEXT TARGET MODE [CERTIFICATE]`.
///
/// Where there is no grpcio its only line is `skipped`.
enum GRPCScript {
    static let text = #"""
        import os, sys, threading, time
        try:
            import grpc
        except ImportError:
            print("skipped: no 'grpcio' here", flush=True); sys.exit(0)
        target, mode = sys.argv[1], sys.argv[2]
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                   ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        def connect():
            if len(sys.argv) < 4: return grpc.insecure_channel(target, options)
            roots = grpc.ssl_channel_credentials(open(sys.argv[3], "rb").read())
            return grpc.secure_channel(target, roots, options)
        def method(channel, kind, name): return getattr(channel, kind)("/noria.Probe/" + name)
        def unary(channel, name): return method(channel, "unary_unary", name)
        def checksum(data):
            sum = 0
            for byte in data: sum = (sum * 31 + byte) & 0xffffffff
            return sum
        def kinds():
            channel = connect()
            echo = unary(channel, "Echo")
            assert echo(b"") == b"" and echo(b"hello") == b"hello"
            large = bytes(i % 251 for i in range(4 << 20))
            assert echo(large) == large
            pieces = [bytes([i]) * 1000 for i in range(100)]
            counted = method(channel, "stream_unary", "Count")(iter(pieces))
            assert counted == b"100000 %d" % checksum(b"".join(pieces)), counted
            received = b"".join(method(channel, "unary_stream", "Bytes")(b"5000000"))
            assert received == bytes(i % 251 for i in range(5000000)), len(received)
            assert list(method(channel, "stream_stream", "Chat")(iter(pieces))) == pieces
            try: unary(channel, "Nothing")(b""); assert False
            except grpc.RpcError as error: assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
            cancelled = lambda: int(unary(channel, "Cancelled")(b""))
            # On a busy machine a call may be cancelled before its handler has begun: once more then.
            def until_cancelled(attempt):
                before = cancelled()
                for _ in range(20):
                    attempt()
                    end = time.time() + 1
                    while time.time() < end:
                        if cancelled() > before: return
                        time.sleep(0.01)
                raise AssertionError("the server's call was not cancelled")
            def deadline():
                try: unary(channel, "Slow")(b"60000", timeout=0.2); assert False
                # The server knows the deadline, too, and may be the first to tell.
                except grpc.RpcError as error:
                    codes = grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED
                    assert error.code() in codes, error
            def cancel():
                call = unary(channel, "Slow").future(b"60000")
                time.sleep(0.1)
                call.cancel()
            until_cancelled(deadline)
            until_cancelled(cancel)
            chat = method(channel, "stream_stream", "Chat")
            forever = threading.Event()
            def talk():
                yield b"first"
                forever.wait(60)
            talking = chat(talk())
            assert next(talking) == b"first"
            talking.cancel()
            forever.set()
            assert echo(b"after") == b"after"
            print("all answered", flush=True)
        # 10,000 calls, 50 at a time.
        def many():
            channel = connect()
            echo, faults = unary(channel, "Echo"), []
            def run(worker):
                for index in range(200):
                    message = b"%d %d" % (worker, index)
                    try: assert echo(message) == message
                    except Exception as error: faults.append(repr(error))
            threads = [threading.Thread(target=run, args=(i,)) for i in range(50)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print("10000 calls, faults", faults[:5], flush=True)
        # Where the calls of each connection ran.
        def loops():
            def places(width):
                channel = connect()
                calls = [unary(channel, "Loop").future(b"") for _ in range(width)]
                return [call.result() for call in calls]
            seen = [places(50) for _ in range(8)]
            for places in seen:
                assert len(set(places)) == 1 and places[0].endswith(b"|true"), set(places)
            print("loops", len({places[0] for places in seen}), flush=True)
        # Calls in flight, and new ones until the server goes away.
        def flight():
            channels = [connect() for _ in range(4)]
            slow = [unary(c, "Slow").future(b"700") for c in channels for _ in range(10)]
            streams, faults, answered, told = [], [], [0], threading.Event()
            for channel in channels:
                stop = threading.Event()
                def talk(stop=stop):
                    yield b"first"
                    stop.wait(60)
                    yield b"last"
                talking = method(channel, "stream_stream", "Chat")(talk())
                assert next(talking) == b"first"
                streams.append((talking, stop))
            def ask(channel):
                echo = unary(channel, "Echo")
                while True:
                    try:
                        assert echo(b"x" * 100) == b"x" * 100
                        answered[0] += 1
                    except grpc.RpcError as error:
                        # Refused before it was begun: the server is gone, or going.
                        if error.code() != grpc.StatusCode.UNAVAILABLE: faults.append(repr(error))
                        elif not told.is_set(): faults.append("too early: " + repr(error))
                        return
            threads = [threading.Thread(target=ask, args=(c,)) for c in channels for _ in range(4)]
            for thread in threads: thread.start()
            while answered[0] < 500: time.sleep(0.01)
            told.set()
            print("under way", flush=True)
            for thread in threads: thread.join()
            for call in slow:
                try: assert call.result() == b"700"
                except grpc.RpcError as error: faults.append("lost: " + repr(error))
            for talking, stop in streams:
                stop.set()
                try: assert list(talking) == [b"last"]
                except grpc.RpcError as error: faults.append("lost: " + repr(error))
            print("slow", len(slow), "streams", len(streams), "faults", faults[:5], flush=True)
        def vanish():
            channel = connect()
            for _ in range(20): unary(channel, "Slow").future(b"60000")
            next(method(channel, "unary_stream", "Bytes")(b"500000000"))
            print("under way", flush=True)
            time.sleep(60)
        {"kinds": kinds, "many": many, "loops": loops, "flight": flight, "vanish": vanish}[mode]()
        """#
}
#endif
