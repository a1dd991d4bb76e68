"""Where a proxy's CPU time goes while it is asked, as perf samples its process."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.profile import PARTS as OF_KERNEL
from bench.profile import REST, part_of
from bench.request_loads import ANEW, KEPT, LOADS, argv
from bench.request_places import Place

PROFILED: Final = (KEPT, ANEW)
SECONDS: Final = 2
_FREQUENCY_HZ: Final = 2000
_LINE: Final = re.compile(r"\s*(?P<share>[0-9.]+)%\s+(?P<object>\S+)\s+\[[k.]\]\s+(?P<symbol>\S+)")
"""A line of ``perf report --sort dso,sym``."""
_IN_KERNEL: Final = ("[", "bpf_prog_")
"""How objects begin whose functions are the kernel's, or run in it."""
INTERPRETER, LOOP, PROXY, LIBRARIES = "Python's interpreter", "its event loop", "the proxy's own code", "libraries"
_OBJECTS: Final = (
    (INTERPRETER, re.compile(r"python3")),
    (LOOP, re.compile(r"loop\.cpython")),
    (PROXY, re.compile(r"haproxy|envoy")),
)
PARTS: Final = (PROXY, INTERPRETER, LOOP, LIBRARIES, *OF_KERNEL, REST)

Shares = Mapping[tuple[str, str], Mapping[str, float]]
"""By load and place: the share of each part, together 1."""


def profiles(places: Sequence[Place], directory: Path) -> Shares:
    """Of the loads that are :data:`PROFILED`; nothing on a machine without perf."""
    perf = shutil.which("perf")
    if perf is None:
        return {}
    file = directory / "perf-requests.data"
    found = {}
    for load in (load for load in LOADS if load.name in PROFILED):
        for place in places:
            options = ["-q", "-e", "cpu-clock", "-F", str(_FREQUENCY_HZ), "-p", str(place.proxy_pid), "-o", str(file)]
            asked = argv(load, place.client_netns, place.server, SECONDS)
            subprocess.run([perf, "record", *options, "--", *asked], capture_output=True, check=True)
            report = [perf, "report", "-i", str(file), "--stdio", "--sort", "dso,sym", "--percent-limit", "0"]
            told = subprocess.run(report, capture_output=True, text=True, check=True)
            found[load.name, place.name] = shares_in(told.stdout)
    return found


def shares_in(report: str) -> Mapping[str, float]:
    """Shares by part, from perf's report."""
    found = dict.fromkeys(PARTS, 0.0)
    for line in report.splitlines():
        if match := _LINE.match(line):
            found[_part(match["object"], match["symbol"])] += float(match["share"])
    total = sum(found.values())
    return {part: share / total for part, share in found.items()} if total else found


def _part(where: str, symbol: str) -> str:
    if where.startswith(_IN_KERNEL):
        return part_of(symbol)
    return next((part for part, pattern in _OBJECTS if pattern.match(where)), LIBRARIES)
