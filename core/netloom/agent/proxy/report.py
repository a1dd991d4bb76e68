"""What ``netctl status`` and metrics tell of the proxy. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from netloom.agent.proxy.life import Life
from netloom.model.l7_messages import Counters

UNASKED = "none"
"""In the place of a direction, for requests of connections that no rule is about any more."""


class Totals:
    """Numbers of all proxies so far, so that none goes back when one of them ends."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """By protocol, direction and verdict."""
        self.closed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.accepted = self.lost_records = 0

    def add(self, counters: Counters) -> None:
        """Those of one more."""
        for protocol, directions in counters.requests.items():
            for direction, verdicts in directions.items():
                for verdict, number in verdicts.items():
                    self.requests[protocol, direction, verdict] += number
        self.closed.update(counters.closed)
        self.faults.update(counters.faults)
        self.accepted += counters.accepted
        self.lost_records += counters.lost_records


def summary(
    current: Life | None, lives: Iterable[Life], past: Totals, *, restarts: int, trouble: str, off: bool = False
) -> dict[str, Any]:
    """``state``: ``at work``, ``away`` while new connections are refused, or ``off`` where nothing is to be judged."""
    everyone = tuple(lives)
    totals = deepcopy(past)
    for life in everyone:
        if life.counters is not None:
            totals.add(life.counters)
    problems = current.applied.problems if current and current.applied else ()
    return {
        "state": "off" if off else "at work" if current and current.applied else "away",
        "pid": current.pid if current else None,
        "protocols": list(current.hello.protocols) if current and current.hello else [],
        "connections": sum(life.counters.open for life in everyone if life.counters),
        "draining": sum(1 for life in everyone if life.counters and life.counters.draining),
        "restarts": restarts,
        "problems": [*([trouble] if trouble else []), *problems],
        "accepted": totals.accepted,
        "lost_records": totals.lost_records,
        "requests": [
            {"protocol": protocol, "direction": direction, "verdict": verdict, "count": count}
            for (protocol, direction, verdict), count in sorted(totals.requests.items())
        ],
        "closed": dict(sorted(totals.closed.items())),
        "faults": dict(sorted(totals.faults.items())),
    }


def families(told: Mapping[str, Any]) -> Iterable[Metric]:
    """Metrics of a :func:`summary`."""
    yield GaugeMetricFamily("netloom_proxy_up", "1 while the proxy judges.", value=told["state"] == "at work")
    yield GaugeMetricFamily("netloom_proxy_connections", "Open through the proxy.", value=told["connections"])
    yield CounterMetricFamily("netloom_proxy_restarts", "Times the proxy ended by itself.", value=told["restarts"])
    yield CounterMetricFamily("netloom_proxy_lost_records", "Requests nobody was told of.", value=told["lost_records"])
    requests = CounterMetricFamily(
        "netloom_l7_requests", "Requests judged, and connections broken.", labels=["protocol", "direction", "verdict"]
    )
    for row in told["requests"]:
        requests.add_metric([row["protocol"], row["direction"] or UNASKED, row["verdict"]], row["count"])
    closed = CounterMetricFamily(
        "netloom_proxy_closed_connections", "Connections the proxy refused or broke.", labels=["reason"]
    )
    for reason, count in told["closed"].items():
        closed.add_metric([reason], count)
    faults = CounterMetricFamily(
        "netloom_l7_parser_faults", "Parsers that broke their contract.", labels=["plugin", "protocol"]
    )
    for name, count in told["faults"].items():
        faults.add_metric(name.split("/", 1), count)
    yield from (requests, closed, faults)
