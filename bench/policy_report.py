"""What policies cost, as a part of the page and a picture. Pure."""

from __future__ import annotations

from collections.abc import Callable

from bench.plot import Line, Panel, line_chart
from bench.policy_scale import ATTACHED, ENDPOINTS, IMPORTS, POLICIES, REPEATS, SELECTED, Adding, Scale, Scaling

PICTURE = "results-policy-growth.svg"
_MS = 1e3
_NS_TO_MS = 1e-6
_MIB = 1 << 20
_TIMES: tuple[tuple[str, Callable[[Scale], float]], ...] = (
    ("for one pod", lambda scale: scale.policy_s),
    ("for all pods", lambda scale: scale.wide_policy_s),
    ("for some pods", lambda scale: scale.identity_s),
    ("for all pods", lambda scale: scale.wide_identity_s),
)
"""Two of policies, two of identities."""
_PANELS = (
    ("Milliseconds until one more policy is enforced", _TIMES[:2]),
    ("... until one more identity is", _TIMES[2:]),
)


def section(measured: Scaling) -> list[str]:
    """Lines of ``RESULTS.md``."""
    text = (
        f"{POLICIES:,} policies about {SELECTED} identities, on a node with {ENDPOINTS} endpoints of {ENDPOINTS} "
        "identities (`bench/policy_world.py`). All other identities only meet them as peers: each belongs to a tier "
        "that some policies name, so tables grow with the cluster. A change comes to the agent by the store, as one "
        "that was made on another node, and counts as enforced when the kernel has all of it; the time begins with "
        f"the reading of the policy's file. Medians of {REPEATS}. *For all pods* is a policy that selects every "
        "endpoint of the node, and an identity that every one of them lets in."
    )
    return [
        "## Policies and identities",
        "",
        text,
        "",
        f"![growth]({PICTURE})",
        "",
        *_table(measured.scales),
        "",
        (
            f"* **Imported here:** {POLICIES:,} policies over {SELECTED} identities are read, written to the store, "
            f"resolved and in the kernel {measured.import_s:.2f} s after their import began (median of {IMPORTS})."
        ),
        *_adding(measured.adding),
    ]


def _table(scales: tuple[Scale, ...]) -> list[str]:
    rows: list[tuple[str, Callable[[Scale], str]]] = [
        (f"{POLICIES:,} policies at once", lambda scale: f"{scale.all_s:.2f} s"),
        ("one more policy", lambda scale: _milliseconds(scale.policy_s)),
        ("one more policy for all pods", lambda scale: _milliseconds(scale.wide_policy_s)),
        ("one more identity", lambda scale: _milliseconds(scale.identity_s)),
        ("one more identity for all pods", lambda scale: _milliseconds(scale.wide_identity_s)),
        ("agent started anew, until ready", lambda scale: f"{scale.restart_s:.2f} s"),
        ("entries of all tables", lambda scale: f"{scale.entries:,}"),
        ("kernel memory for tables", lambda scale: f"{scale.table_bytes / _MIB:.1f} MiB"),
        ("resident memory of the agent", lambda scale: f"{scale.resident_bytes / _MIB:.1f} MiB"),
        ("of that without policies", lambda scale: f"{scale.resident_before_bytes / _MIB:.1f} MiB"),
    ]
    return [
        f"| identities | {' | '.join(f'{scale.identities:,}' for scale in scales)} |",
        f"|---|{'---:|' * len(scales)}",
        *(f"| {name} | {' | '.join(map(text, scales))} |" for name, text in rows),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * _MS:.1f} ms"


def _adding(adding: Adding) -> list[str]:
    known, known_before = adding.known_ns * _NS_TO_MS, adding.known_before_ns * _NS_TO_MS
    new, new_before = adding.new_ns * _NS_TO_MS, adding.new_before_ns * _NS_TO_MS
    return [
        (
            f"* **ADD with {POLICIES:,} policies:** {known:.1f} ms for a pod whose identity has an endpoint here "
            f"({known_before:.1f} ms without policies), {new:.1f} ms for one that brings a new identity, which the "
            f"policies select ({new_before:.1f} ms without); medians of {ATTACHED}."
        )
    ]


def picture(measured: Scaling) -> str:
    """``results-policy-growth.svg``: times and memory over the number of identities."""
    scales = measured.scales
    panels = [
        Panel(
            title=title,
            lines=tuple(
                Line(
                    label=label,
                    values=tuple(value(scale) * _MS for scale in scales),
                    texts=tuple(f"{value(scale) * _MS:.1f}" for scale in scales),
                )
                for label, value in times
            ),
        )
        for title, times in _PANELS
    ]
    panels.append(_plain("Seconds until all policies are enforced at once", scales, lambda scale: scale.all_s, 2))
    panels.append(_plain("MiB of the agent", scales, lambda scale: scale.resident_bytes / _MIB, 0))
    panels.append(_plain("MiB of the kernel for tables", scales, lambda scale: scale.table_bytes / _MIB, 1))
    subtitle = f"{POLICIES:,} policies, {ENDPOINTS} endpoints; from left to right more identities in the cluster"
    return line_chart("Policies in a growing cluster", subtitle, [scale.identities for scale in scales], panels)


def _plain(title: str, scales: tuple[Scale, ...], value: Callable[[Scale], float], digits: int) -> Panel:
    values = tuple(map(value, scales))
    return Panel(
        title=title, lines=(Line(label="", values=values, texts=tuple(f"{one:.{digits}f}" for one in values)),)
    )
