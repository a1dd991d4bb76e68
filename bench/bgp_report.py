"""What BGP costs a node, as a part of the page. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.attach import percentile
from bench.bgp import Learning, Spread
from bench.routes import ADDED, CHANGED, DELETED, FAMILIES, OURS, PEER, STEPS, Written

_MIB = 1 << 20
_STEPS = {ADDED: "added, one next hop", CHANGED: "changed to two", DELETED: "deleted"}


def section(spread: Spread) -> list[str]:
    """Lines of ``RESULTS.md``."""
    text = (
        "A node with one router, FRR, at the other end of a cable, both in this machine. An announcement is a prefix "
        "given to the plugin's speaker, one after another; it is done when it stands in, or has left, the table of the "
        "kernel that FRR runs on. Learning begins with the command that has FRR spread routes of its kernel, and ends "
        "when the last of them stands in the node's; FRR's own time is part of both. Memory is resident."
    )
    times = spread.announcing
    return [
        "## Routes by BGP",
        "",
        text,
        "",
        "| one prefix, until FRR's kernel has done it | median | 99th percentile | slowest |",
        "|---|---:|---:|---:|",
        f"| announced | {_milliseconds(times.announced_s)} |",
        f"| withdrawn | {_milliseconds(times.withdrawn_s)} |",
        "",
        "| routes | first learnt | all learnt | all gone | agent | speaker |",
        "|---:|---:|---:|---:|---:|---:|",
        *map(_row, spread.learning),
        "",
        *_writing(spread.writing),
    ]


def _writing(written: Written) -> list[str]:
    """What the last step of learning costs by itself."""
    text = (
        f"Writing alone: {written.routes:,} routes into the kernel's table, {written.rounds} times, in an empty "
        f"namespace; each round begins with another. `{PEER}` is given its lines in a file, and only reads them, asks "
        "the kernel and checks its answers; Netloom is given what a router told, which it compares, keeps and writes. "
        "Figures are medians; the number in bold is the ratio within each round, with the least and the most."
    )
    rows = [
        f"| {_STEPS[step]}, IPv{family} | {written.seconds[PEER, family, step] * 1e3:.0f} ms "
        f"| {written.seconds[OURS, family, step] * 1e3:.0f} ms, **{middle:.2f}** ({least:.2f} to {most:.2f}) |"
        for step in STEPS
        for family in FAMILIES
        for middle, least, most in (written.ratios[OURS, family, step],)
    ]
    return [text, "", f"| {written.routes:,} routes | {PEER} | {OURS} |", "|---|---:|---:|", *rows]


def _milliseconds(seconds: Sequence[float]) -> str:
    ranks = (percentile(sorted(seconds), rank) for rank in (50, 99, 100))
    return " | ".join(f"{value * 1e3:.0f} ms" for value in ranks)


def _row(one: Learning) -> str:
    times = " | ".join(f"{value:.2f} s" for value in (one.first_s, one.all_s, one.withdrawn_s))
    agent = _memory(one.agent_bytes, one.agent_before_bytes)
    return f"| {one.routes:,} | {times} | {agent} | {_memory(one.speaker_bytes, one.speaker_before_bytes)} |"


def _memory(found: int, before: int) -> str:
    return f"{found / _MIB:.0f} MiB, {max(0, found - before) / _MIB:.0f} more"
