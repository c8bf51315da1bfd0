# SPDX-License-Identifier: Apache-2.0
"""How many system calls a server makes for a request, counted by strace in a run of its own."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from .run import under_load
from .servers import Failed


def available():
    """Whether strace is here."""
    return shutil.which("strace") is not None


def per_request(server, load):
    """The system calls of all threads of `server` for each request of `load`."""
    with tempfile.TemporaryDirectory() as folder:
        tracer = _Tracer(server.name, os.path.join(folder, "calls"))
        try:
            _, result, calls = under_load(server, load, tracer.attach, tracer.detach)
        finally:
            tracer.kill()
    return calls / result["requests"]


class _Tracer:
    """`strace -c -f` on a process that runs, from `attach` to `detach`."""

    def __init__(self, name, path):
        self.name, self.path, self.process = name, path, None

    def attach(self, pid):
        self.process = subprocess.Popen(
            ["strace", "-c", "-f", "-o", self.path, "-p", str(pid)], stderr=subprocess.DEVNULL
        )
        limit = time.monotonic() + 10
        while not self._traces_all(pid):
            if self.process.poll() is not None or time.monotonic() > limit:
                raise Failed(f"{self.name}: strace can't attach itself")
            time.sleep(0.01)

    def _traces_all(self, pid):
        wanted = f"TracerPid:\t{self.process.pid}\n"
        tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
        return all(wanted in (task / "status").read_text() for task in tasks)

    def detach(self, pid):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=10)
        text = pathlib.Path(self.path).read_text()
        # The columns: time, seconds, microseconds of a call, calls and, where there are, errors.
        total = re.search(r"^ *100\.00 +[\d.]+ +\d* +(\d+).* total$", text, re.M)
        if total is None:
            raise Failed(f"{self.name}: strace counted nothing")
        return int(total.group(1))

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
