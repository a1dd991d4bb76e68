"""Prometheus metrics, collected when asked for. Names follow the field's habit with our prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from netloom.agent.proxy.report import families
from netloom.datapath.reasons import DropReason
from netloom.plugins.answering import Sample

NO_DROPS = (DropReason.BY_STACK, DropReason.VERDICT_UNTOLD, DropReason.EVENT_LOST)
"""Reasons by which something else than drops is counted."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class AgentCollector(Collector):
    """Turns the API's own views into metrics, so both always say the same."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]], plugins: Mapping[str, Sequence[Sample]]) -> None:
        """``plugins``: the numbers that plugins gave, by their names."""
        self._snapshot = snapshot
        self._plugins = plugins

    def collect(self) -> Iterable[Metric]:
        """All families, from one snapshot."""
        now = self._snapshot()
        yield from _packet_counters(now["counters"])
        yield from _gauges(now)
        maps = GaugeMetricFamily("netloom_bpf_map_entries", "Entries in a map.", labels=["map"])
        errors = CounterMetricFamily("netloom_bpf_map_write_errors", "Failed writes to a table.", labels=["map"])
        unwritten = GaugeMetricFamily(
            "netloom_bpf_map_unwritten", "Entries that should be in a map and could not be written.", labels=["map"]
        )
        for table in now["maps"]:
            maps.add_metric([table["name"]], table["entries"])
            errors.add_metric([table["name"]], table["errors"])
            unwritten.add_metric([table["name"]], table["unwritten"])
        yield from (maps, errors, unwritten)
        failing = GaugeMetricFamily("netloom_controller_failing", "1 while a controller fails.", labels=["controller"])
        runs = CounterMetricFamily("netloom_controller_runs", "Runs of a controller.", labels=["controller"])
        for controller in now["controllers"]:
            failing.add_metric([controller["name"]], controller["state"] == "failing")
            runs.add_metric([controller["name"]], controller["runs"])
        yield from (failing, runs)
        repairs = CounterMetricFamily(
            "netloom_repairs", "Things of ours put right after somebody else.", labels=["kind"]
        )
        for kind, count in now["repairs"].items():
            repairs.add_metric([kind], count)
        yield repairs
        yield from _observed(now)
        learned = GaugeMetricFamily(
            "netloom_learned_routes",
            "Routes that routers have learnt, by what became of them.",
            labels=["state"],
        )
        for state, count in now["learned_routes"].items():
            learned.add_metric([state], count)
        yield learned
        for plugin, samples in self._plugins.items():
            yield from of_plugin(plugin, samples)


def of_plugin(plugin: str, samples: Sequence[Sample]) -> Iterable[Metric]:
    """The families of one plugin's numbers."""
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for sample in samples:
        names = sorted(sample.labels)
        if sample.name not in families:
            kind = CounterMetricFamily if sample.kind == "counter" else GaugeMetricFamily
            full_name = f"netloom_{plugin.replace('-', '_')}_{sample.name}"
            families[sample.name] = kind(full_name, sample.help, labels=names)
        families[sample.name].add_metric([sample.labels[name] for name in names], sample.value)
    return families.values()


def _observed(now: dict[str, Any]) -> Iterable[Metric]:
    verdicts = CounterMetricFamily(
        "netloom_policy_verdicts", "What policies said to new connections, since the start.", labels=["action"]
    )
    for action, count in now["verdicts"].items():
        verdicts.add_metric([action], count)
    lost = CounterMetricFamily("netloom_events_lost", "Events that nobody has seen.", labels=["where"])
    for where, count in (("ring", now["monitor"]["lost"]), ("untold", now["monitor"]["untold"])):
        lost.add_metric([where], count)
    yield from (verdicts, lost)
    yield from _connections(now["connections"])
    yield GaugeMetricFamily("netloom_monitor_listeners", "Clients that listen.", value=now["monitor"]["listeners"])
    yield GaugeMetricFamily("netloom_flows_kept", "Flows to look back on.", value=now["monitor"]["flows"])


def _connections(now: dict[str, Any]) -> Iterable[Metric]:
    held = GaugeMetricFamily("netloom_connections", "Connections when they were last swept.", labels=["map"])
    for name, count in now["held"].items():
        held.add_metric([name], count)
    yield held
    yield CounterMetricFamily(
        "netloom_connections_removed", "Connections that had expired when they were swept.", value=now["removed"]
    )
    for name, text in (("swept_s", "the last sweep took"), ("pause_s", "between the last sweep and the next")):
        yield GaugeMetricFamily(f"netloom_connections_{name}", f"Seconds {text}.", value=now[name] or 0)


def _packet_counters(counters: list[dict[str, Any]]) -> Iterable[Metric]:
    for kind, unit in (("count", "packets"), ("bytes", "bytes")):
        forwarded = CounterMetricFamily(f"netloom_forward_{kind}", f"Forwarded {unit}.", labels=["direction"])
        dropped = CounterMetricFamily(f"netloom_drop_{kind}", f"Dropped {unit}.", labels=["reason", "direction"])
        for counter in counters:
            if counter["reason"] in NO_DROPS:
                continue
            if counter["reason"] == 0:
                forwarded.add_metric([counter["direction"]], counter[unit])
            else:
                dropped.add_metric([counter["text"], counter["direction"]], counter[unit])
        yield from (forwarded, dropped)


def _gauges(now: dict[str, Any]) -> Iterable[Metric]:
    for name, text in (
        ("endpoints", "Endpoints of this node."),
        ("nodes", "Nodes known, this one included."),
        ("identities", "Identities known."),
        ("plugins_failed", "Plugins that broke their contract."),
    ):
        yield GaugeMetricFamily(f"netloom_{name}", text, value=now[name])
    yield from _policy_gauges(now["policy"])
    yield from families(now["proxy"])
    used = GaugeMetricFamily("netloom_ipam_used", "Addresses given.", labels=["prefix"])
    capacity = GaugeMetricFamily("netloom_ipam_capacity", "Addresses that can be given.", labels=["prefix"])
    for pool in now["ipam"]:
        used.add_metric([pool["prefix"]], pool["used"])
        capacity.add_metric([pool["prefix"]], float(pool["capacity"]))
    yield from (used, capacity)


def _policy_gauges(policy: dict[str, Any]) -> Iterable[Metric]:
    for name, text, value in (
        ("policies", "Policies of the cluster.", policy["policies"]),
        ("policy_revision", "Changes of policies that this agent has heard of.", policy["revision"]),
        ("policy_enforced_revision", "The revision that programs enforce.", policy["enforced_revision"]),
        ("policy_subjects_closed", "Identities whose policies could not be written.", len(policy["closed"])),
        ("policy_table_room", "Entries that the table of an identity can have.", policy["room"]),
    ):
        yield GaugeMetricFamily(f"netloom_{name}", text, value=value)
    entries = GaugeMetricFamily(
        "netloom_policy_table_entries", "Entries in the table of an identity.", labels=["identity"]
    )
    for identity, count in policy["entries"].items():
        entries.add_metric([str(identity)], count)
    yield entries


def render(snapshot: Callable[[], dict[str, Any]], plugins: Mapping[str, Sequence[Sample]]) -> bytes:
    """The text exposition format; ``plugins``: as :class:`AgentCollector` takes them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AgentCollector(snapshot, plugins))
    return generate_latest(registry)
