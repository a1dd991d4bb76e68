"""What the prefilter drops beside nftables, as a part of the page. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bench.prefilter import NFTABLES, SETS, WAYS, Figure

Figures = Mapping[tuple[str, str], Figure]


def section(figures: Figures, rounds: int, count: int) -> list[str]:
    """Lines of ``RESULTS.md``."""
    text = (
        "Packets dropped by their source address, in millions for each second of CPU time, on one core. The kernel "
        "makes 60-byte frames as a driver receives them (`BPF_PROG_TEST_RUN` with live frames, `bench/frames.py`), "
        "each from another refused prefix, so nobody pays for sending. *nftables* drops them by a set in the `ingress` "
        "hook of the `netdev` family, the earliest it has. *Generic* is the prefilter where a driver has no XDP: in "
        "the stack, before that hook; *native* is the prefilter in a driver, before the kernel makes a packet of the "
        f"frame. {rounds} rounds of {count:,} frames each, one after another, beginning with another way each time; "
        "the number in bold is the ratio to nftables, formed within each round, with its quartiles. A measurement of "
        "which not every frame was counted as dropped fails."
    )
    return [
        "## Refusing packets by their source",
        "",
        text,
        "",
        f"| refused | {' | '.join(WAYS)} |",
        f"|---|{'---:|' * len(WAYS)}",
        *(f"| {each.name} | {' | '.join(_cell(figures, each.name, way) for way in WAYS)} |" for each in SETS),
    ]


def _cell(figures: Figures, refused: str, way: str) -> str:
    figure = figures[refused, way]
    rate = f"{figure.drops_per_second / 1e6:.2f} M/s"
    return rate if way == NFTABLES else f"{rate}, **{figure.ratio:.1f}** ({figure.low:.1f} to {figure.high:.1f})"
