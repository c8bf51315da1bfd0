# SPDX-License-Identifier: Apache-2.0
"""The rounds of `pairs` as text for the terminal and as Markdown for the record.

A round is its order, for example `abrs`, and its runs by role: `a` and `b` are the pair, `r` and
`s` the reference against itself.
"""

import datetime
import math
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys

from .servers import root, without_folders

columns = ["cpu_us", "user_us", "system_us", "requests_per_second", "p50_us", "p99_us"]
titles = ["CPU µs", "user µs", "system µs", "requests/s", "p50 µs", "p99 µs"]
names = {"a": "A", "b": "B", "r": "R", "s": "R'"}


def ratios(rounds, one, other, column="cpu_us"):
    """The ratio of two roles in each round."""
    return [getattr(runs[one], column) / getattr(runs[other], column) for _, runs in rounds]


def control_is_quiet(rounds, tolerance):
    """Whether the reference against itself is within `tolerance` percent of 1."""
    if not rounds:
        return False
    return abs(statistics.median(ratios(rounds, "r", "s")) - 1) * 100 <= tolerance


def spread(values):
    """A median with its extremes."""
    return f"{statistics.median(values):.3f} (min {min(values):.3f}, max {max(values):.3f})"


def verdict(rounds, options, failure):
    """One line: does the result count?"""
    if failure:
        return f"failed: {failure}"
    if len(rounds) < options.pairs:
        return f"noise: only {len(rounds)} rounds in the time limit"
    if not control_is_quiet(rounds, options.tolerance):
        return f"noise: the control is off by more than {options.tolerance:g} %"
    return "counts"


def medians(rounds, role):
    """The median of each column over all runs of a role."""
    return [
        statistics.median(getattr(runs[role], column) for _, runs in rounds) for column in columns
    ]


def shown(processors):
    """A set of processors as the command line takes it."""
    return ",".join(map(str, sorted(processors)))


def interval(values):
    """The 95 % interval of a median: ranks of the binomial, so no distribution is assumed.

    With fewer than 6 values there is none.
    """
    ordered, count = sorted(values), len(values)
    tail, rank = 0.0, 0
    while (tail := tail + math.comb(count, rank) / 2**count) <= 0.025:
        rank += 1
    return (ordered[rank - 1], ordered[-rank]) if rank else (math.nan, math.nan)


def summary(rounds):
    """The ratios that the runs are for."""
    low, high = interval(ratios(rounds, "a", "b"))
    return [
        ("A/B CPU", spread(ratios(rounds, "a", "b"))),
        ("95 % of A/B CPU", f"{low:.3f} to {high:.3f}"),
        ("A/B requests/s", spread(ratios(rounds, "a", "b", "requests_per_second"))),
        ("control R/R' CPU", spread(ratios(rounds, "r", "s"))),
    ]


def text(rounds, servers, options, failure):
    """What `pairs` prints."""
    lines = [f"{key} = {server.name}" for key, server in servers.items()]
    if rounds:
        heads = ("A µs", "B µs", "A/B", "R µs", "R' µs", "R/R'")
        lines.append("round " + "".join(f"{h:>{8 if '/' in h else 9}}" for h in heads))
        for index, (_, runs) in enumerate(rounds):
            a, b, r, s = (runs[role].cpu_us for role in "abrs")
            lines.append(
                f"{index + 1:<6}{a:9.3f}{b:9.3f}{a / b:8.3f}{r:9.3f}{s:9.3f}{r / s:8.3f}"
            )
        lines.append(f"{'median':10}" + "".join(f"{title:>12}" for title in titles))
        for role in "abrs":
            values = "".join(f"{value:12.2f}" for value in medians(rounds, role))
            lines.append(f"{names[role]:10}{values}")
        lines += [f"{name}: {value}" for name, value in summary(rounds)]
    lines.append(f"verdict: {verdict(rounds, options, failure)}")
    return "\n".join(lines)


def markdown(rounds, servers, options, load, failure):
    """A section of the record: what ran where, the verdict, and every run in its order."""
    now = datetime.datetime.now(datetime.timezone.utc)
    lines = [
        "",
        f"## {servers['A'].name} : {servers['B'].name}, {load.connections} × {load.bytes} bytes",
        "",
        f"- date: {now:%Y-%m-%d %H:%M} UTC; commit: {commit()}",
        f"- machine: {machine()}",
        *(f"- {key}: `{server.shown()}`" for key, server in servers.items()),
        f"- load: `echo-load {load.arguments()}`, server on processor "
        f"{shown(load.server_processor)}, load on {shown(load.load_processor)}"
        + (f"; {options.idle} idle connections to A" if options.idle else ""),
        f"- command: `{command()}`",
        *([f"- note: {options.note}"] if options.note else []),
        *(f"- {name}: {value}" for name, value in (summary(rounds) if rounds else [])),
        f"- verdict: **{verdict(rounds, options, failure)}**",
        "",
        "| round | run | " + " | ".join(titles) + " |",
        "|---|---|" + "---:|" * len(titles),
    ]
    for index, (order, runs) in enumerate(rounds):
        for role in order:
            values = " | ".join(f"{getattr(runs[role], column):.2f}" for column in columns)
            lines.append(f"| {index + 1} | {names[role]} | {values} |")
    for role in "abrs" if rounds else "":
        values = " | ".join(f"{value:.2f}" for value in medians(rounds, role))
        lines.append(f"| median | {names[role]} | {values} |")
    return "\n".join(lines) + "\n"


def machine():
    """The processor, the kernel and the processors of this machine, but not its name."""
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model}, {os.cpu_count()} processors, Linux {platform.release()}"


def commit():
    """The commit that was measured, marked when files differ from it, the record aside."""

    def git(*words):
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "--short", "HEAD")
    if not head:
        return "none"
    changed = ["status", "--porcelain", "-uno", "--", ".", ":!Benchmarks/RESULTS.md"]
    return head + (" with changes" if git(*changed) else "")


def command():
    """This program's command line without the folders of this machine."""
    return without_folders(shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]))
