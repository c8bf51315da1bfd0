# SPDX-License-Identifier: Apache-2.0
"""One measured run: a fresh server, a warm-up, then the load between two looks at its clocks."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import threading

from .servers import Failed, Running, benchmarks, root

program = benchmarks / ".build/release/echo-load"


@dataclasses.dataclass
class Load:
    """What each run does to its server."""

    connections: int
    bytes: int
    seconds: float
    warmup: float
    server_processor: frozenset
    load_processor: frozenset

    @classmethod
    def of(cls, options):
        """The load that a program's command line asks for."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(options, name) for name in names})

    def arguments(self):
        """The echo-load options of this load."""
        return (
            f"--connections {self.connections} --bytes {self.bytes} "
            f"--warmup-seconds {self.warmup:g} --seconds {self.seconds:g}"
        )


@dataclasses.dataclass
class Run:
    """What one run showed, for each request: server CPU time in microseconds, and its split."""

    cpu_us: float
    user_us: float
    system_us: float
    requests_per_second: float
    p50_us: float
    p99_us: float


def clocks(pid):
    """The CPU nanoseconds of all threads of a process, and its user and system ticks.

    The scheduler counts nanoseconds exactly but does not split them; the ticks do, sampled.
    """
    nanoseconds = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        nanoseconds += int((task / "schedstat").read_text().split()[0])
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return nanoseconds, int(fields[11]), int(fields[12])


def measure(server, load, idle=0):
    """Runs `server` once under `load` and returns what it took, or raises `Failed`.

    So many connections are open besides, and say nothing.
    """
    with Running(server, load.server_processor) as running, _idle(running, idle):
        words = [str(program), running.host, running.port, "--gate"] + load.arguments().split()
        limit = load.warmup + load.seconds + 30
        try:
            driver = subprocess.Popen(
                words + ["--time-limit", str(limit - 10)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, load.load_processor),
            )
        except OSError as error:
            raise Failed(f"echo-load: {error}") from None
        # The driver bounds itself; this bounds the wait for a driver that cannot.
        watchdog = threading.Timer(limit, driver.kill)
        watchdog.start()
        try:
            before, result, after = _drive(driver, running.pid)
        except (OSError, ValueError) as error:
            raise Failed(f"{server.name}: the load broke off: {error}") from None
        finally:
            watchdog.cancel()
            driver.kill()
            driver.wait()
    if result["errors"] or not result["requests"]:
        raise Failed(f"{server.name}: the load met errors: {result}")
    return _run(before, result, after)


@contextlib.contextmanager
def _idle(running, count):
    """Holds `count` connections open from a process of their own, each of them served once."""
    if not count:
        yield
        return
    words = [str(root / ".build/release/NoriaProbe"), "idle clients", running.port, str(count)]
    try:
        clients = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failed(f"{words[0]}: {error}") from None
    try:
        if (line := clients.stdout.readline()) != f"connected: {count}\n":
            raise Failed(f"{count} idle connections: {line.strip() or 'none connected'}")
        yield
    finally:
        clients.kill()
        clients.wait()


def _drive(driver, pid):
    def expect(line):
        if (got := driver.stdout.readline()) != line + "\n":
            raise ValueError(f"expected {line!r} of echo-load, got {got!r}")

    def go():
        driver.stdin.write("\n")
        driver.stdin.flush()

    # The server is idle at both looks: no request is in flight while the gate is closed.
    expect("warm")
    before = clocks(pid)
    go()
    result = json.loads(driver.stdout.readline())
    expect("measured")
    after = clocks(pid)
    go()
    driver.wait()
    return before, result, after


def _run(before, result, after):
    cpu, user, system = (late - early for early, late in zip(before, after))
    cpu_us = cpu / 1e3 / result["requests"]
    user_share = user / (user + system) if user + system else 0
    return Run(
        cpu_us=cpu_us,
        user_us=cpu_us * user_share,
        system_us=cpu_us * (1 - user_share),
        requests_per_second=result["requestsPerSecond"],
        p50_us=result["p50us"],
        p99_us=result["p99us"],
    )
