# SPDX-License-Identifier: Apache-2.0
"""What callgrind counted, by function."""

import collections
import os
import pathlib
import re
import shutil
import subprocess

from .servers import Failed


class Profile:
    """Instructions in all, by function, and by caller and callee with all that the callee calls.

    Code without a symbol goes by its address.
    """

    def __init__(self, total, functions, calls=None):
        self.total, self.functions = total, functions
        self.calls = calls or collections.Counter()

    @classmethod
    def read(cls, path):
        """Reads a dump, in the format that the Callgrind manual specifies.

        Not through callgrind_annotate: a dump of a running process names its active functions in
        calls with a count of 0, whose cost of all they called callgrind_annotate 3.19 takes for
        their own.
        """
        names, functions, calls, total = {}, collections.Counter(), collections.Counter(), None
        function, callee, of_callee = None, None, False
        for line in pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            if match := re.match(r"(ob|fn|cob|cfn)=\((\d+)\)(?: (.*))?$", line):
                kind, number, text = match.groups()
                key = (kind[-2:], number)
                if text:
                    names[key] = text if kind.endswith("fn") else os.path.basename(text)
                if kind == "ob":
                    object_name = names[key]
                elif kind == "fn":
                    name, function = names[key], f"{names[key]} [{object_name}]"
                elif kind == "cfn":
                    callee = names[key]
            elif line.startswith("calls="):
                of_callee = True
            elif match := re.match(r"[+\-*\d]\d* (\d+)$", line):
                if of_callee:
                    calls[name, callee] += int(match.group(1))
                else:
                    functions[function] += int(match.group(1))
                of_callee = False
            elif line.startswith("summary:"):
                total = int(line.split()[1])
        if total is None or total != functions.total():
            raise Failed(f"callgrind's dump does not add up: {total}, {functions.total()}")
        return cls(total, functions, calls)

    def __sub__(self, other):
        functions = collections.Counter(self.functions)
        functions.subtract(other.functions)
        calls = collections.Counter(self.calls)
        calls.subtract(other.calls)
        return Profile(self.total - other.total, functions, calls)

    def hottest(self, limit):
        """The names and counts of the `limit` functions with the most instructions."""
        rows = self.functions.most_common(limit)
        names = demangled([name for name, _ in rows])
        return [(name, count) for name, (_, count) in zip(names, rows)]


def without_debug_information(program, folder):
    """A copy of the program in `folder` that keeps its symbols but no lines.

    Valgrind 3.19 gives up on the DWARF 5 of clang and of Swift, and the names of the functions are
    all that is wanted here. What can't be copied so, a script, is its own copy.
    """
    original = shutil.which(program) or str(program)
    copy = pathlib.Path(folder) / os.path.basename(original)
    done = subprocess.run(["objcopy", "--strip-debug", original, str(copy)], capture_output=True)
    return str(copy) if done.returncode == 0 else original


def demangled(names):
    """The names as Swift's demangler shows them, or as they are where there is none."""
    if shutil.which("swift-demangle") is None:
        return names
    done = subprocess.run(
        ["swift-demangle", "--simplified"], input="\n".join(names), capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    return lines if len(lines) == len(names) else names
