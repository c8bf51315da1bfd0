#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restarts three replicas behind HAProxy one by one under load: no client may see an error.

  Tests/Integration/rolling-restart.py [--rounds 1] [--backend epoll] [--http DEMO] [PROGRAM]

PROGRAM is a `NoriaProbe`; its 'replica' answers each line with its port and the line, and a second
port with 'ready' until SIGTERM. HAProxy may send nothing twice ('retries 0', no 'redispatch', no
'retry-on') and looks at that port every 200 ms. Kinds of load, one after the other:

  connect     one request a connection
  keep-alive  many; what met the end before a byte of its answer is sent once more, counted apart
  proxied     one a connection, with 'send-proxy' and 'send-proxy-v2': the replica says whom it serves

With --http two more, in HAProxy's 'mode http', before three `noria-demo`s, whose /health it asks:

  http connect, http keep-alive

Asserted: no request failed, and econ, eresp and wretr are 0 in HAProxy's 'show stat'.
"""

import argparse
import contextlib
import csv
import io
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

GRACE_MS = 2000
CLIENTS = 8
CONFIGURATION = """
global
    stats socket {folder}/stats mode 600 level admin
    maxconn 4000
defaults
    mode {mode}
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout check 1s
    retries 0
    no option redispatch
frontend clients
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance roundrobin
    {check}
    default-server inter 200ms fall 1 rise 1
{servers}
"""

CHECKS = {
    "tcp": "option tcp-check\n    tcp-check expect rstring ^ready",
    "http": "option httpchk GET /health\n    http-check expect status 200",
}
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: replicas\r\n%s\r\n"


def free_ports(count):
    """Ports that nobody has at the moment, and that no connection will be given as its own."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in range(max(1024, first - 2000), first):
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    sys.exit("no free ports below the ephemeral ones")


class Replica:
    def __init__(self, name, program, environment, port, readiness, is_proxied):
        self.name, self.port, self.readiness = name, port, readiness
        self.command = [program, "replica", str(port), str(readiness), str(GRACE_MS)]
        if is_proxied:
            self.command.append("proxied")
        self.environment = environment

    @classmethod
    def demo(cls, name, program, environment, port):
        """A `noria-demo`, which is asked for its health where it serves."""
        replica = cls(name, program, environment, port, port, False)
        replica.command = [program, "--port", str(port)]
        replica.environment = environment | {"NORIA_SHUTDOWN_GRACE": f"{GRACE_MS}ms"}
        return replica

    def start(self):
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors = []
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()
        line = self.process.stdout.readline()
        if not line.startswith("listening on"):
            sys.exit(f"{self.name} does not listen: {''.join(self.errors)}")

    def stop(self):
        """Ends it as a supervisor does: its exit code must be 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none within 30 s"
        if code != 0:
            sys.exit(f"{self.name} ended with {code}:\n{''.join(self.errors)}")


class Balancer:
    def __init__(self, folder, port, replicas, options, mode):
        self.socket = f"{folder}/stats"
        servers = "".join(
            f"    server {each.name} 127.0.0.1:{each.port} check port {each.readiness} {options}\n"
            for each in replicas
        )
        file = pathlib.Path(folder) / "haproxy.cfg"
        file.write_text(
            CONFIGURATION.format(
                folder=folder, port=port, servers=servers, mode=mode, check=CHECKS[mode]
            )
        )
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def rows(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(self.socket)
            client.sendall(b"show stat\n")
            text = client.makefile().read()
        found = csv.DictReader(io.StringIO(text.removeprefix("# ")))
        return {row["svname"]: row for row in found if row["pxname"] == "replicas"}

    def wait(self, name, status):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.process.poll() is not None:
                sys.exit(f"HAProxy ended: {self.process.stderr.read().decode()}")
            with contextlib.suppress(OSError):
                if self.rows()[name]["status"].startswith(status):
                    return
            time.sleep(0.02)
        sys.exit(f"HAProxy does not find {name} {status} within 20 s")


class Load:
    """Clients that never stop by themselves."""

    def __init__(self, port, kind):
        self.port, self.kind = port, kind
        self.lock = threading.Lock()
        self.answered = self.repeated = 0
        self.failures = []
        self.is_over = False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def run(self, client):
        connection, number = None, 0
        while not self.is_over:
            number += 1
            line = f"{client}-{number}"
            try:
                connection, was_repeated = self.ask(connection, line)
            except (OSError, ValueError) as error:
                connection = None
                with self.lock:
                    self.failures.append(f"{line}: {error!r}")
            else:
                with self.lock:
                    self.answered += 1
                    self.repeated += was_repeated

    def request(self, line):
        """What is sent, what ends the answer, and what it must hold."""
        if not self.kind.startswith("http"):
            return f"{line}\n".encode(), b"\n", line.encode()
        more = b"" if self.kind.endswith("keep-alive") else b"Connection: close\r\n"
        return REQUEST % more, b"\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n"

    def ask(self, connection, line):
        """The connection for the next request, or None; and whether this one was sent twice."""
        was_repeated = False
        request, ending, sign = self.request(line)
        while True:
            is_old = connection is not None
            connection = connection or socket.create_connection(("127.0.0.1", self.port), 10)
            answer = b""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError) if is_old else contextlib.nullcontext():
                connection.sendall(request)
                while not answer.endswith(ending):
                    piece = connection.recv(4096)
                    if not piece:
                        break
                    answer += piece
            if not answer and is_old and not was_repeated:
                # It met the end of an idle connection: its request was nobody's yet.
                connection.close()
                connection, was_repeated = None, True
                continue
            if not answer.endswith(ending) or sign not in answer:
                raise ValueError(f"answered {answer!r}")
            if self.kind.startswith("proxied"):
                words = answer.decode().split()
                host, port = connection.getsockname()
                if words[0] != f"{host}:{port}":
                    raise ValueError(f"served as {words[0]}, is {host}:{port}")
            if self.kind.endswith("keep-alive"):
                return connection, was_repeated
            connection.close()
            return None, was_repeated


def restart_all(kind, rounds, program, backend):
    options = {"proxied": "send-proxy", "proxied, version 2": "send-proxy-v2"}.get(kind, "")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NORIA_")}
    if backend:
        environment["NORIA_BACKEND"] = backend
    with tempfile.TemporaryDirectory() as folder:
        port, *ports = free_ports(7)
        mode = "http" if kind.startswith("http") else "tcp"
        replicas = [
            Replica.demo(f"r{i}", program, environment, ports[i])
            if mode == "http"
            else Replica(f"r{i}", program, environment, *ports[2 * i : 2 * i + 2], bool(options))
            for i in range(3)
        ]
        for replica in replicas:
            replica.start()
        balancer = Balancer(folder, port, replicas, options, mode)
        try:
            for replica in replicas:
                balancer.wait(replica.name, "UP")
            load = Load(port, kind)
            try:
                for _ in range(rounds):
                    for replica in replicas:
                        replica.stop()
                        balancer.wait(replica.name, "DOWN")
                        replica.start()
                        balancer.wait(replica.name, "UP")
            finally:
                load.end()
            rows = [balancer.rows()[replica.name] for replica in replicas]
        finally:
            balancer.process.terminate()
            balancer.process.wait(10)
        for replica in replicas:
            replica.stop()
    counts = {name: sum(int(row[name] or 0) for row in rows) for name in ("econ", "eresp", "wretr")}
    print(
        f"{kind}: {3 * rounds} restarts, {load.answered} requests answered,"
        f" {load.repeated} sent once more, {len(load.failures)} failed; "
        + ", ".join(f"{name} {count}" for name, count in counts.items()),
        flush=True,
    )
    for failure in load.failures[:10]:
        print(f"  {failure}")
    return not load.failures and not any(counts.values()) and load.answered > 100


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1, help="restarts of each replica, default 1")
    parser.add_argument("--backend", help="default: what the machine has")
    parser.add_argument("--http", metavar="DEMO", help="a noria-demo: also in HAProxy's mode http")
    parser.add_argument("program", nargs="?", default=".build/debug/NoriaProbe", metavar="PROGRAM")
    options = parser.parse_args()
    if shutil.which("haproxy") is None:
        sys.exit("no haproxy here: apt-get install haproxy")
    kinds = ["connect", "keep-alive", "proxied", "proxied, version 2"]
    done = [
        restart_all(kind, options.rounds, options.program, options.backend) for kind in kinds
    ]
    if options.http:
        done += [
            restart_all(kind, options.rounds, options.http, options.backend)
            for kind in ("http connect", "http keep-alive")
        ]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
