#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Thousands of clients send a byte of a header a second: a healthy client must not feel them.

  Tests/Integration/slowloris.py [--connections 5000] [--seconds 60] [--backend epoll] [PROGRAM]

PROGRAM is a `NoriaHummingbirdProbe`, whose time-out for a head is 10 s. A healthy client asks
without a pause, in a process of its own, first alone for 10 s, then beside the slow ones. Who is
closed connects again.

Asserted: the healthy client's 99th percentile is at most 3 times as long as alone, and nothing of
his fails; no slow connection lives longer than the time-out and 2 s; the server ends with status 0,
and has no more descriptors than before.
"""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
import time

TIMEOUT = 10
HEAD = b"GET / HTTP/1.1\r\nHost: slow\r\nX-Long: " + b"x" * 4000


def healthy(port, seconds, results):
    """Asks one request after the other; tells the times in seconds, and what failed."""
    os.sched_setaffinity(0, {1})
    with contextlib.suppress(PermissionError):
        os.nice(-15)
    times, failures = [], []
    client = socket.create_connection(("127.0.0.1", port), 10)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        try:
            client.sendall(b"GET / HTTP/1.1\r\nHost: healthy\r\n\r\n")
            answer = b""
            while not answer.endswith(b"\r\n\r\nhello"):
                piece = client.recv(4096)
                if not piece:
                    raise ConnectionError(f"ended after {answer!r}")
                answer += piece
        except OSError as error:
            failures.append(repr(error))
            client = socket.create_connection(("127.0.0.1", port), 10)
            continue
        times.append(time.perf_counter() - begin)
        # As many requests alone as in company, and a processor left for the others.
        time.sleep(0.002)
    client.close()
    results.put((times, failures))


class Slow:
    """So many places, on each of which one attacker comes after the other.

    A single thread serves all of them at a low priority: what is measured is the server.
    """

    STEPS = 500  # In a second; each place sends in one of them.

    def __init__(self, port, count):
        self.port, self.places = port, [None] * count
        self.epoll = select.epoll()
        self.by_descriptor, self.lives, self.refused = {}, [], 0

    def connect(self, place):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self.port))
        self.places[place] = [client, time.monotonic(), 0]
        self.by_descriptor[client.fileno()] = place
        self.epoll.register(client, select.EPOLLIN | select.EPOLLRDHUP)

    def drop(self, place):
        client, begin, sent = self.places[place]
        if sent:
            self.lives.append(time.monotonic() - begin)
        else:
            self.refused += 1
        del self.by_descriptor[client.fileno()]
        client.close()
        self.places[place] = None

    def send(self, place):
        client, _, sent = self.places[place]
        if sent == len(HEAD):
            sys.exit("a slow connection was never closed")
        with contextlib.suppress(OSError):
            self.places[place][2] += client.send(HEAD[sent : sent + 1])

    def run(self, seconds):
        begin, step = time.monotonic(), 0
        told = begin
        while (now := time.monotonic()) < begin + seconds:
            # They come over five seconds.
            here = min(len(self.places), int(len(self.places) * (now - begin) / 5) + 1)
            for place in range(step % self.STEPS, here, self.STEPS):
                if self.places[place] is None:
                    self.connect(place)
                else:
                    self.send(place)
            step += 1
            while (left := begin + step / self.STEPS - time.monotonic()) > 0:
                for descriptor, _ in self.epoll.poll(left):
                    place = self.by_descriptor[descriptor]
                    if self.places[place][0].recv(100):
                        sys.exit("a slow request was answered")
                    self.drop(place)
            if now > told + 5:
                told = now
                print(f"  {len(self.by_descriptor)} open, {len(self.lives)} closed by the server", flush=True)
        for descriptor in list(self.by_descriptor.values()):
            self.places[descriptor][0].close()


def ask(port, seconds, meanwhile=lambda: None):
    results = multiprocessing.Queue()
    os.sched_setaffinity(0, {1})
    client = multiprocessing.Process(target=healthy, args=(port, seconds, results))
    client.start()
    meanwhile()
    times, failures = results.get(timeout=seconds + 60)
    client.join()
    p99 = statistics.quantiles(times, n=100)[98]
    print(f"  {len(times)} answers, p99 {1e3 * p99:.2f} ms, {len(failures)} failed", flush=True)
    return p99, failures


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--backend", help="default: what the machine has")
    parser.add_argument(
        "program", nargs="?", default=".build-nio/debug/NoriaHummingbirdProbe", metavar="PROGRAM"
    )
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < options.connections + 500:
        sys.exit(f"at most {hard} descriptors here: give fewer --connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NORIA_")}
    if options.backend:
        environment["NORIA_BACKEND"] = options.backend
    process = subprocess.Popen(
        [str(pathlib.Path(options.program)), "noria"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {0}),
    )
    try:
        line = process.stdout.readline()
        port = int(line.rpartition(":")[2] or 0)
        if not port:
            sys.exit(f"{options.program} does not listen: {line!r}")
        print("alone:", flush=True)
        alone, failed = ask(port, 10)
        before = descriptors(process.pid)
        slow = Slow(port, options.connections)
        print(f"beside {options.connections} slow ones:", flush=True)
        beside, more = ask(port, options.seconds, lambda: slow.run(options.seconds))
        end = time.monotonic() + 15
        while (left := descriptors(process.pid)) > before and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    finally:
        process.kill()
        process.wait()
    longest = max(slow.lives, default=0)
    print(
        f"p99 {1e3 * beside:.2f} ms against {1e3 * alone:.2f} ms alone: {beside / alone:.2f} times; "
        f"{len(slow.lives)} slow ones closed, the longest after {longest:.1f} s; "
        f"{left - before} descriptors more than before; exit code {code}"
    )
    good = {
        "the healthy client met no failure": not failed and not more,
        "its p99 is at most 3 times as long": beside <= 3 * alone,
        "slow connections were closed in time": len(slow.lives) > options.connections / 2 and longest <= TIMEOUT + 2,
        "no descriptor is left": left <= before,
        "the exit code is 0": code == 0,
    }
    for what, holds in good.items():
        if not holds:
            print(f"not so: {what}")
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
