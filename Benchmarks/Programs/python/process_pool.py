# SPDX-License-Identifier: Apache-2.0
"""Sends a text to a worker process and back, one call after the other: CALLS BYTES."""

import concurrent.futures
import sys
import time


def echo(text):
    return text


def main():
    calls, byte_count = int(sys.argv[1]), int(sys.argv[2])
    text = "x" * byte_count
    with concurrent.futures.ProcessPoolExecutor(max_workers=1) as pool:
        # The worker is started by the first, and warm after some.
        for _ in range(500):
            pool.submit(echo, text).result()
        begin = time.perf_counter_ns()
        for _ in range(calls):
            if len(pool.submit(echo, text).result()) != byte_count:
                sys.exit(1)
        print(f'{{"nanosecondsPerCall":{(time.perf_counter_ns() - begin) // calls}}}')


if __name__ == "__main__":
    main()
