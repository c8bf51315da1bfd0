# SPDX-License-Identifier: Apache-2.0
"""The tables of `peers` as Markdown for the record.

A table is a load and its rows; a row is a server with its runs, of which run `i` belongs to
round `i`, so that ratios are taken within a round.
"""

import datetime
import statistics

from .report import command, commit, machine, shown, spread
from .servers import benchmarks

#: What Noria's better backend is held to: so many times a peer's requests per CPU second.
bars = [
    ("nio-async", 2.5),
    ("nio-handler", 1.2),
    ("asyncio-protocols", 4.9),
    ("uvloop-protocols", 1.05),
    ("uvloop-streams", 1.7),
]
bars_load = (50, 1024)
titles = [
    "server", "requests/CPU s", "user µs", "system µs", "calls", "requests/s", "at 70 %: p50 µs",
    "p99 µs", "p99.9 µs", "load late µs", "peak MiB", "requests/CPU s of each round",
]


def median(row, column):
    return statistics.median(getattr(run, column) for run in row.runs)


def per_cpu_second(row):
    """The figure of a row: the median of its rounds."""
    return statistics.median(1e6 / run.cpu_us for run in row.runs)


def ratios(one, other):
    """How many times as many requests `one` answered with a CPU second, round by round."""
    return [b.cpu_us / a.cpu_us for a, b in zip(one.runs, other.runs)]


def find(rows, name):
    """The row of a server, if it was measured."""
    return next((row for row in rows if row.name == name and not row.failure), None)


def control(rows):
    """The ratios of C against itself, in a table that has it."""
    again = next((row for row in rows if row.name.endswith(" again") and not row.failure), None)
    first = again and find(rows, again.name.removesuffix(" again"))
    return ratios(again, first) if first else None


def control_is_quiet(rows, tolerance):
    values = control(rows)
    return values is not None and abs(statistics.median(values) - 1) * 100 <= tolerance


def better_backend(rows):
    """Noria's row with the higher figure."""
    backends = [row for row in rows if row.name.startswith("noria-") and not row.failure]
    return max(backends, key=per_cpu_second, default=None)


def bars_table(tables):
    """The rows of the table with the load that the bars hold for, or none."""
    wanted = (rows for load, rows in tables if (load.connections, load.bytes) == bars_load)
    return next(wanted, [])


def held(rows):
    """Each bar that can be looked at: the peer, the factor, the ratios."""
    noria = better_backend(rows)
    found = [(find(rows, name), factor) for name, factor in bars]
    return [(peer, factor, ratios(noria, peer)) for peer, factor in found if noria and peer]


def all_is_well(tables, tolerance):
    """Whether the control is quiet and every bar was looked at and met."""
    rows = bars_table(tables)
    if not rows:
        return all(control_is_quiet(rows, tolerance) for _, rows in tables)
    met = [statistics.median(values) >= factor for _, factor, values in held(rows)]
    return control_is_quiet(rows, tolerance) and len(met) == len(bars) and all(met)


def cells(row):
    """A row of the table of a load."""
    if row.failure and not row.runs:
        return [row.name] + ["-"] * (len(titles) - 1)

    def latency(column):
        values = [getattr(run, column) for run in row.latencies]
        return f"{statistics.median(values):.0f}" if values else "-"

    return [
        row.name,
        f"{per_cpu_second(row):.0f}",
        f"{median(row, 'user_us'):.2f}",
        f"{median(row, 'system_us'):.2f}",
        "-" if row.calls is None else f"{row.calls:.2f}",
        f"{median(row, 'requests_per_second'):.0f}",
        *(latency(column) for column in ("p50_us", "p99_us", "p999_us", "load_delay_us")),
        f"{median(row, 'peak_kib') / 1024:.1f}",
        " ".join(f"{1e6 / run.cpu_us:.0f}" for run in row.runs),
    ]


def line(*words):
    return f"| {' | '.join(words)} |"


def verdict_of_bars(rows, tolerance):
    """The table of the bars, or nothing where their load was not measured."""
    noria = better_backend(rows)
    if not noria:
        return []
    quiet = "" if control_is_quiet(rows, tolerance) else " (noise: the control is off)"
    lines = [
        "",
        f"Bars, requests per CPU second at {bars_load[0]} × {bars_load[1]} bytes; Noria's better "
        f"backend there is `{noria.name}`:",
        "",
        line("Noria : peer", "bar", "ratio", "verdict"),
        "|---|---:|---|---|",
    ]
    for peer, factor, values in held(rows):
        met = "met" if statistics.median(values) >= factor else "missed"
        name = f"{noria.name} : {peer.name}"
        lines.append(line(name, f"≥ {factor:g}", spread(values), met + quiet))
    return lines


def markdown(tables, skipped, options, took):
    """A section of the record: what ran where, the bars, and a table a load."""
    now = datetime.datetime.now(datetime.timezone.utc)
    versions = benchmarks / ".build-peers/versions"
    known = versions.read_text().split("\n") if versions.exists() else []
    controls = [
        f"{load.connections} × {load.bytes}: {spread(values)}"
        for load, rows in tables
        if (values := control(rows))
    ]
    failures = [row.failure for _, rows in tables for row in rows if row.failure]
    load = tables[0][0]
    lines = [
        "",
        f"## peers, {len(tables)} loads" if len(tables) > 1 else "## peers, 1 load",
        "",
        f"- date: {now:%Y-%m-%d %H:%M} UTC; commit: {commit()}",
        f"- machine: {machine()}",
        f"- versions: {', '.join(version for version in known if version)}",
        f"- load: {options.rounds} rounds of {load.seconds:g} s after {load.warmup:g} s, and "
        f"{options.latency_rounds} at 70 % of the requests/s; server on processor "
        f"{shown(load.server_processor)}, load on {shown(load.load_processor)}; {took:.0f} s in all",
        f"- command: `{command()}`",
        *([f"- note: {options.note}"] if options.note else []),
        *([f"- not built: {', '.join(skipped)}"] if skipped else []),
        *(f"- failed: {failure}" for failure in failures),
        f"- control, C on epoll against itself: {'; '.join(controls) or '-'}",
        *verdict_of_bars(bars_table(tables), options.tolerance),
    ]
    for load, rows in tables:
        lines += ["", f"### {load.connections} × {load.bytes} bytes", "", line(*titles)]
        lines.append("|---|" + "---:|" * (len(titles) - 2) + "---|")
        lines += [line(*cells(row)) for row in rows]
    return "\n".join(lines) + "\n"
