"""Masquerading: packets from pods to addresses outside the cluster take the node's address.

One nftables table is ours alone: it is put in place in one transaction, and off means that it is not there. nft is
called as a program, at start and when the cluster's prefixes change, never while a workload is attached.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from netloom.edge.ownership import firewall_table
from netloom.model.address import Network
from netloom.model.errors import NetloomError, Unsupported

Json = dict[str, Any]

_FAMILY = "inet"
_CHAIN = "postrouting"
_SRCNAT_PRIORITY = 100
"""NF_IP_PRI_NAT_SRC of linux/netfilter_ipv4.h, where source translation belongs."""
_TIMEOUT_S = 30.0


class FirewallError(NetloomError):
    """nft refused a change; carries its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MasqueradeSpec:
    """What is to be masqueraded."""

    node_name: str
    pod_cidrs: tuple[Network, ...]
    """Of this node: packets from these are concerned."""
    cluster_cidrs: tuple[Network, ...]
    """Of all nodes: packets to these keep their source. This node's are added if left out."""
    devices: tuple[str, ...]
    """Our own devices (``lxc*`` names many): packets leaving by these keep their source."""


def ensure_masquerade(spec: MasqueradeSpec) -> bool:
    """Put the table in place unless it is there as wanted; says whether it had to.

    The whole table changes in one step; connections under way keep the address they have. Raises Unsupported
    without nft, FirewallError when nft refuses.
    """
    table = firewall_table(spec.node_name)
    ruleset = render(spec)
    mark = _digest(ruleset)
    if _present_mark(table) == (mark, _rule_count(ruleset)):
        return False
    _nft([{"add": {"table": _table(table)}}, {"delete": {"table": _table(table)}}, *_with_mark(ruleset, mark)])
    return True


def remove_masquerade(node_name: str) -> bool:
    """Remove the table; says whether it was there."""
    table = firewall_table(node_name)
    if _listed(table) is None:
        return False
    _nft([{"add": {"table": _table(table)}}, {"delete": {"table": _table(table)}}])
    return True


def render(spec: MasqueradeSpec) -> list[Json]:
    """The commands that fill an empty table, in nft's JSON (libnftables-json(5))."""
    table = firewall_table(spec.node_name)
    chain = {
        "family": _FAMILY,
        "table": table,
        "name": _CHAIN,
        "type": "nat",
        "hook": "postrouting",
        "prio": _SRCNAT_PRIORITY,
        "policy": "accept",
    }
    commands: list[Json] = [{"add": {"table": _table(table)}}, {"add": {"chain": chain}}]
    if spec.devices:
        accept = [_match({"meta": {"key": "oifname"}}, _set(sorted(spec.devices))), {"accept": None}]
        commands.append(_rule(table, accept))
    for protocol, kind in (("ip", IPv4Network), ("ip6", IPv6Network)):
        pods = [cidr for cidr in spec.pod_cidrs if isinstance(cidr, kind)]
        cluster = [cidr for cidr in (*spec.pod_cidrs, *spec.cluster_cidrs) if isinstance(cidr, kind)]
        if pods:
            inside = [
                _match(_field(protocol, "saddr"), _prefixes(pods)),
                _match(_field(protocol, "daddr"), _prefixes(cluster), "!="),
                {"masquerade": None},
            ]
            commands.append(_rule(table, inside))
    return commands


def _table(name: str) -> Json:
    return {"family": _FAMILY, "name": name}


def _rule(table: str, expressions: list[Json]) -> Json:
    return {"add": {"rule": {"family": _FAMILY, "table": table, "chain": _CHAIN, "expr": expressions}}}


def _match(left: Json, right: Json, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _field(protocol: str, name: str) -> Json:
    return {"payload": {"protocol": protocol, "field": name}}


def _set(elements: Iterable[Any]) -> Json:
    return {"set": list(elements)}


def _prefixes(networks: Iterable[Any]) -> Json:
    """Sorted and without overlaps, which nft would refuse."""
    merged = collapse_addresses(networks)
    return _set({"prefix": {"addr": str(each.network_address), "len": each.prefixlen}} for each in merged)


def _digest(ruleset: list[Json]) -> str:
    return "netloom " + hashlib.sha256(json.dumps(ruleset, sort_keys=True).encode()).hexdigest()[:24]


def _with_mark(ruleset: list[Json], mark: str) -> list[Json]:
    """The same with the digest as the comment of the last rule, by which the table is known to be up to date."""
    *others, last = ruleset
    kind, body = next(iter(last["add"].items()))
    return [*others, {"add": {kind: {**body, "comment": mark}}}]


def _rule_count(ruleset: list[Json]) -> int:
    return sum("rule" in command["add"] for command in ruleset)


def _present_mark(table: str) -> tuple[str, int] | None:
    """Digest in the table that stands, and how many rules it has; a rule missing or added is a difference."""
    listed = _listed(table)
    if listed is None:
        return None
    rules = [item["rule"] for item in listed if "rule" in item]
    return (str(rules[-1].get("comment", "")) if rules else "", len(rules))


def _listed(table: str) -> list[Json] | None:
    done = _run(["nft", "-j", "list", "table", _FAMILY, table], "")
    if done.returncode != 0:
        if "No such file" in done.stderr:
            return None
        raise FirewallError(f"nft could not list table {table}: {done.stderr.strip()}")
    objects: list[Json] = json.loads(done.stdout)["nftables"]
    return objects


def _nft(commands: list[Json]) -> None:
    done = _run(["nft", "-j", "-f", "-"], json.dumps({"nftables": commands}))
    if done.returncode != 0:
        raise FirewallError(f"nft refused to change Netloom's table: {(done.stderr or done.stdout).strip()}")


def _run(argv: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise Unsupported(
            "masquerading",
            needs="the program nft (package nftables)",
            found="none; install it, or set masquerade: false",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise FirewallError(f"nft did not answer within {_TIMEOUT_S:.0f} s") from error
