# SPDX-License-Identifier: Apache-2.0
"""An ASGI application that answers "hello", by uvicorn on uvloop with httptools.

    http_hello.py [CERTIFICATE KEY]
"""

import logging
import signal
import socket
import sys

import uvicorn

head = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"5")],
}
body = {"type": "http.response.body", "body": b"hello"}


async def hello(scope, receive, send):
    if scope["type"] == "http":
        await send(head)
        await send(body)


def main():
    files = sys.argv[1:]
    if len(files) not in (0, 2):
        raise SystemExit(f"usage: {sys.argv[0]} [CERTIFICATE KEY]")
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    tls = {"ssl_certfile": files[0], "ssl_keyfile": files[1]} if files else {}
    configuration = uvicorn.Config(
        hello,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level=logging.WARNING,
        **tls,
    )
    # uvicorn raises it once more when it is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.Server(configuration).run(sockets=[listener])


if __name__ == "__main__":
    main()
