# SPDX-License-Identifier: Apache-2.0
"""The echo servers of a good Python program: protocols or streams, on asyncio's loop or uvloop's.

    echo_server.py asyncio|uvloop protocols|streams|tasks|protocols-128k HOST PORT

With `tasks` a new task answers each message; `protocols-128k` is asyncio's alone.

Both loops set TCP_NODELAY by themselves. The protocol is that of uvloop's own benchmark, with the
back pressure that a server needs. Both receive 256 KiB at once, and document no way to set that.
"""

import asyncio
import os
import signal
import sys

buffer_byte_count = 128 * 1024  # As the references: what is compared is the loops.


class Echo(asyncio.Protocol):
    """Writes what it reads; reads nothing while the socket takes nothing."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class EchoIn128KiB(Echo):
    """Sets asyncio's undocumented size of a receive.

    asyncio makes a new buffer for each receive, and glibc fetches 256 KiB from the kernel every
    time; with half of that it keeps the memory.
    """

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.max_size = buffer_byte_count


async def echo(reader, writer):
    try:
        while data := await reader.read(buffer_byte_count):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def answer(writer, data):
    writer.write(data)
    await writer.drain()


async def echo_in_tasks(reader, writer):
    try:
        while data := await reader.read(buffer_byte_count):
            await asyncio.create_task(answer(writer, data))
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(loop_name, api, host, port):
    loop = asyncio.get_running_loop()
    # The same end as the references': nothing is drained, the status is 0.
    loop.add_signal_handler(signal.SIGTERM, os._exit, 0)
    if api in ("streams", "tasks"):
        handler = echo if api == "streams" else echo_in_tasks
        server = await asyncio.start_server(
            handler, host, port, backlog=4096, limit=buffer_byte_count
        )
    else:
        protocol = Echo if api == "protocols" else EchoIn128KiB
        server = await loop.create_server(protocol, host, port, backlog=4096)
    host, port = server.sockets[0].getsockname()
    debug = "on" if loop.get_debug() else "off"
    print(
        f"listening on {host}:{port} backend={loop_name}-{api} loops=1 debug={debug}", flush=True
    )
    await server.serve_forever()


def main():
    match sys.argv[1:]:
        case ["asyncio", ("protocols" | "protocols-128k" | "streams" | "tasks") as api, host, port]:
            asyncio.run(serve("asyncio", api, host, int(port)))
        case ["uvloop", ("protocols" | "streams" | "tasks") as api, host, port]:
            import uvloop

            uvloop.run(serve("uvloop", api, host, int(port)))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
