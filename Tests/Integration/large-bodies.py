#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gibibyte comes and goes over HTTP and HTTPS: every byte is right, and the memory stays small.

  Tests/Integration/large-bodies.py [--mebibytes 1024] [--backend epoll] [PROGRAM]

PROGRAM is a `NoriaHummingbirdProbe`, of a release build for a gibibyte; curl is the client. The
server's highest memory is read behind each transfer (VmHWM), and once more while a client that has
stopped reading is given what fits.

Asserted: each byte of a download, count and checksum of an upload, at most 32 MiB more memory than
before the first transfer, exit code 0.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PERIOD = 251
PIECE = PERIOD * 4096
PATTERN = bytes(range(PERIOD)) * 4096
MARGIN_KIB = 32 << 10


def peak_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s*(\d+) kB", status, re.M).group(1))


def checksum(count):
    """What the server computes: sum * 31 + byte over all bytes, modulo 2^32."""
    # One period as an affine map, then by squaring.
    factor, term = 1, 0
    for byte in range(PERIOD):
        factor, term = factor * 31 % 2**32, (term * 31 + byte) % 2**32
    total, power = 0, (factor, term)
    periods, rest = divmod(count, PERIOD)
    while periods:
        if periods & 1:
            total = (total * power[0] + power[1]) % 2**32
        power = (power[0] * power[0] % 2**32, (power[0] * power[1] + power[1]) % 2**32)
        periods >>= 1
    for byte in range(rest):
        total = (total * 31 + byte) % 2**32
    return total


def curl(words, **more):
    return subprocess.Popen(["curl", "-sS", "--fail", *words], stdout=subprocess.PIPE, **more)


def download(base, options, count):
    process = curl([*options, f"{base}/bytes/{count}"])
    position = 0
    while piece := process.stdout.read(PIECE):
        begin = position % PERIOD
        if piece != (PATTERN + PATTERN)[begin : begin + len(piece)]:
            sys.exit(f"wrong bytes between {position} and {position + len(piece)}")
        position += len(piece)
    if process.wait() or position != count:
        sys.exit(f"{position} of {count} bytes came, curl ended with {process.returncode}")


def upload(base, options, count):
    process = curl([*options, "-X", "POST", "-T", "-", f"{base}/count"], stdin=subprocess.PIPE)

    def feed():
        left = count
        while left:
            left -= process.stdin.write(PATTERN[: min(left, PIECE)])
        process.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    answer = process.stdout.read().decode().split()
    feeder.join()
    if process.wait() or answer != [str(count), str(checksum(count))]:
        sys.exit(f"answered {answer}, not {count} {checksum(count)}")


def stalled(port, count):
    """A client that asks for much and reads nothing: what the server holds for him is bounded."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"GET /bytes/{count} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(2)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--backend", help="default: what the machine has")
    parser.add_argument(
        "program", nargs="?", default=".build-nio/release/NoriaHummingbirdProbe", metavar="PROGRAM"
    )
    options = parser.parse_args()
    for tool in ("curl", "openssl"):
        if shutil.which(tool) is None:
            sys.exit(f"no {tool} here: apt-get install {tool}")
    count = options.mebibytes << 20
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NORIA_")}
    environment["NORIA_LOG_LEVEL"] = "warning"
    if options.backend:
        environment["NORIA_BACKEND"] = options.backend
    holds = True
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/certificate.pem", f"{folder}/key.pem"]
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        words += " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
        words = words.split() + ["-out", files[0], "-keyout", files[1]]
        subprocess.run(words, check=True, capture_output=True)
        for scheme, arguments in (("http", []), ("https", files)):
            process = subprocess.Popen(
                [options.program, "noria", *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                port = int(process.stdout.readline().rpartition(":")[2] or 0)
                base, certificate = f"{scheme}://127.0.0.1:{port}", ["--cacert", files[0]]
                for transfer in (upload, download):
                    transfer(base, certificate, 1 << 20)
                before = peak_kib(process.pid)
                for transfer in (upload, download):
                    begin = time.monotonic()
                    transfer(base, certificate, count)
                    seconds = time.monotonic() - begin
                    more = peak_kib(process.pid) - before
                    print(
                        f"{scheme} {transfer.__name__}: {options.mebibytes} MiB in {seconds:.1f} s, "
                        f"{more} KiB more memory at most",
                        flush=True,
                    )
                    holds = holds and more < MARGIN_KIB
                if scheme == "http":
                    stalled(port, count)
                    more = peak_kib(process.pid) - before
                    print(f"{scheme}, a client that reads nothing: {more} KiB", flush=True)
                    holds = holds and more < MARGIN_KIB
                process.send_signal(signal.SIGTERM)
                if (code := process.wait(30)) != 0:
                    sys.exit(f"exit code {code}")
            finally:
                process.kill()
                process.wait()
    if not holds:
        print(f"not so: at most {MARGIN_KIB} KiB more memory")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
