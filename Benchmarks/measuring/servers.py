# SPDX-License-Identifier: Apache-2.0
"""The servers that can be measured, and how one is started, awaited and ended."""

import os
import pathlib
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading

benchmarks = pathlib.Path(__file__).resolve().parent.parent
root = benchmarks.parent

noria = "NORIA_LOG_LEVEL=warning ../.build/release/noria echo --port 0"

#: Short names for servers: their command lines, with the programs relative to this folder.
known = {
    "reference-epoll": ".build/release/reference-epoll 127.0.0.1 0",
    "reference-io_uring": ".build/release/reference-io_uring 127.0.0.1 0",
    "noria-epoll": f"{noria} --backend epoll",
    "noria-io_uring": f"{noria} --backend io_uring",
    "nio-handler": ".build-peers/nio-handler-echo 127.0.0.1 0",
    "nio-async": ".build-peers/nio-async-echo 127.0.0.1 0",
    "nio-async-on-loop": ".build-peers/nio-async-on-loop 127.0.0.1 0",
    "asyncio-protocols": ".build-peers/asyncio-protocols 127.0.0.1 0",
    "asyncio-protocols-128k": ".build-peers/asyncio-protocols-128k 127.0.0.1 0",
    "asyncio-streams": ".build-peers/asyncio-streams 127.0.0.1 0",
    "uvloop-protocols": ".build-peers/uvloop-protocols 127.0.0.1 0",
    "uvloop-streams": ".build-peers/uvloop-streams 127.0.0.1 0",
    "libuv": ".build-peers/libuv-echo 127.0.0.1 0",
    "tokio": ".build-peers/tokio-echo 127.0.0.1 0",
    "go": ".build-peers/go-echo 127.0.0.1 0",
}


class Failed(Exception):
    """A run that measured nothing: the message says what failed on which server."""


class Server:
    """A command line that starts an echo server, with the environment set in front of it."""

    def __init__(self, name, words):
        self.name = name
        self.environment = {}
        while words and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", words[0]):
            variable, value = words[0].split("=", 1)
            self.environment[variable] = value
            words = words[1:]
        if not words:
            raise SystemExit(f"no program in the server command {name!r}")
        self.words = words

    def is_built(self):
        """Whether its program is there."""
        return shutil.which(self.words[0]) is not None

    def shown(self):
        """The command line as a published table may show it: without this machine's folders."""
        words = [f"{key}={value}" for key, value in self.environment.items()] + self.words
        return without_folders(shlex.join(words))


def without_folders(line):
    """A command line with paths relative to the repository, or bare names outside of it."""
    line = line.replace(f"{root}/", "")
    return re.sub(r"(?<![\w.])/(?:[^\s/'\"=:]+/)+", "", line)


def resolve(text):
    """The server that a command line argument means: a short name or a command line."""
    if text in known:
        words = known[text].split()
        place = next(index for index, word in enumerate(words) if "=" not in word)
        words[place] = os.path.normpath(benchmarks / words[place])
        return Server(text, words)
    words = shlex.split(text.replace("{port}", "0"))
    program = next((word for word in words if "=" not in word), text)
    return Server(os.path.basename(program), words)


class Running:
    """A started server, pinned to its processors; leaving the context ends it by its pid."""

    def __init__(self, server, processors, prefix=(), limit=15):
        self.server, self.processors = server, processors
        self.prefix, self.limit = list(prefix), limit

    def __enter__(self):
        def pin():
            os.sched_setaffinity(0, self.processors)

        try:
            self.process = subprocess.Popen(
                self.prefix + self.server.words,
                env=os.environ | self.server.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=pin,
            )
        except OSError as error:
            raise Failed(f"{self.server.name}: {error}") from None
        self.pid = self.process.pid
        try:
            self.host, self.port, self.ready_line = self._await_ready()
        except BaseException:
            self._kill()
            raise
        return self

    def _await_ready(self):
        """Reads up to the ready line; a thread goes on reading so that no pipe ever fills up."""
        lines = queue.SimpleQueue()

        def read():
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=self.limit)
            except queue.Empty:
                raise Failed(f"{self.server.name}: not ready in {self.limit} s") from None
            if line is None:
                raise Failed(f"{self.server.name}: ended before it was ready")
            match = re.search(r"listening on (\S+):(\d+)", line)
            if match:
                return match.group(1), match.group(2), line.strip()

    def __exit__(self, kind, error, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=self.limit)
        except subprocess.TimeoutExpired:
            self._kill()
            if kind is None:
                raise Failed(f"{self.server.name}: runs on {self.limit} s after SIGTERM") from None
            return
        if status != 0 and kind is None:
            raise Failed(f"{self.server.name}: ended with status {status} on SIGTERM")

    def _kill(self):
        self.process.kill()
        self.process.wait()
