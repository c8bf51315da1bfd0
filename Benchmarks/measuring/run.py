# SPDX-License-Identifier: Apache-2.0
"""One measured run: a fresh server, a warm-up, then the load between two looks at its clocks."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import threading
import time

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
    rate: int = 0  # Requests a second; 0: a closed loop.

    @classmethod
    def of(cls, options):
        """The load that a program's command line asks for."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(options, name) for name in names if hasattr(options, name)})

    def arguments(self):
        """The echo-load options of this load."""
        rate = f" --rate {self.rate}" if self.rate else ""
        return (
            f"--connections {self.connections} --bytes {self.bytes} "
            f"--warmup-seconds {self.warmup:g} --seconds {self.seconds:g}{rate}"
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
    p999_us: float
    load_delay_us: float  # How late the load itself was, 99 %; only with a rate.
    peak_kib: int  # The server's memory at its highest since it started.


def processors(text):
    """Reads `0` or `0,1`."""
    return frozenset(map(int, text.split(",")))


def clocks(pid):
    """The CPU nanoseconds of all threads of a process, and its user and system ticks.

    The scheduler counts nanoseconds exactly but does not split them; the ticks do, sampled. Both
    hold the threads that ended too.
    """
    # The number of another process's CPU clock, as clock_getcpuclockid(3) forms it.
    nanoseconds = time.clock_gettime_ns((~pid << 3) | 2)
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return nanoseconds, int(fields[11]), int(fields[12])


def peak_kib(pid):
    """The most memory that a process held so far."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s*(\d+) kB", status, re.M).group(1))


def measure(server, load, idle=0):
    """Runs `server` once under `load` and returns what it took, or raises `Failed`.

    So many connections are open besides, and say nothing.
    """
    before, result, (after, peak) = under_load(
        server, load, clocks, lambda pid: (clocks(pid), peak_kib(pid)), idle
    )
    return _run(before, result, after, peak)


def under_load(server, load, at_start, at_end, idle=0):
    """Runs `server` once under `load`, with two looks at its process: around the measured part.

    Returns what the looks returned, and between them what `echo-load` told.
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
            before, result, after = _drive(driver, running.pid, at_start, at_end)
        except (OSError, ValueError) as error:
            raise Failed(f"{server.name}: the load broke off: {error}") from None
        finally:
            watchdog.cancel()
            driver.kill()
            driver.wait()
    if result["errors"] or not result["requests"]:
        raise Failed(f"{server.name}: the load met errors: {result}")
    return before, result, after


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


def _drive(driver, pid, at_start, at_end):
    def expect(line):
        if (got := driver.stdout.readline()) != line + "\n":
            raise ValueError(f"expected {line!r} of echo-load, got {got!r}")

    def go():
        driver.stdin.write("\n")
        driver.stdin.flush()

    # The server is idle at both looks: no request is in flight while the gate is closed.
    expect("warm")
    before = at_start(pid)
    go()
    result = json.loads(driver.stdout.readline())
    expect("measured")
    after = at_end(pid)
    go()
    driver.wait()
    return before, result, after


def _run(before, result, after, peak):
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
        p999_us=result["p999us"],
        load_delay_us=result["loadDelay99us"],
        peak_kib=peak,
    )
