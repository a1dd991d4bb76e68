"""``netctl bpf``: the tables the data path decides by, each in its own columns."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.connections import ct
from netloom.cli.options import output_option, with_agent
from netloom.cli.output import scaled, show, table

Entries = list[dict[str, Any]]
NO_TUNNEL = "::"
"""``tunnel_endpoint`` of an address that is not behind a tunnel."""


def in_order(entries: Entries) -> Entries:
    """By address, IPv4 first: a hash map gives them in no order."""

    def place(entry: dict[str, Any]) -> tuple[int, int, int]:
        network = ip_network(entry["key"].get("prefix") or entry["key"]["address"])
        return network.version, int(network.network_address), network.prefixlen

    return sorted(entries, key=place)


def render_tunnels(entries: Entries) -> str:
    """Pod prefix and the node it lives on."""
    return table(("TUNNEL", "VALUE"), ((e["key"]["prefix"], e["value"]["tunnel_endpoint"]) for e in in_order(entries)))


def render_endpoints(entries: Entries) -> str:
    """Local addresses and where packets for them go."""
    return table(
        ("IP ADDRESS", "LOCAL ENDPOINT INFO"),
        ((e["key"]["address"], _endpoint_info(e["value"])) for e in in_order(entries)),
    )


def _endpoint_info(value: dict[str, Any]) -> str:
    from netloom.datapath.registry import EndpointFlag

    if value["flags"] & EndpointFlag.HOST:
        return "(localhost)"
    return (
        f"id={value['id']:<5} flags=0x{value['flags']:04X} ifindex={value['ifindex']:<3} "
        f"mac={value['mac'].upper()} nodemac={value['node_mac'].upper()}"
    )


def render_ipcache(entries: Entries) -> str:
    """Prefixes, their identity, and the tunnel that leads to them."""
    return table(
        ("IP PREFIX/ADDRESS", "IDENTITY"), ((e["key"]["prefix"], _ipcache_info(e["value"])) for e in in_order(entries))
    )


def _ipcache_info(value: dict[str, Any]) -> str:
    from netloom.datapath.registry import IpcacheFlag

    flags = [flag.name.lower().replace("_", "") for flag in IpcacheFlag if value["flags"] & flag and flag.name]
    endpoint = value["tunnel_endpoint"]
    return (
        f"identity={value['identity']} tunnelendpoint={'0.0.0.0' if endpoint == NO_TUNNEL else endpoint} "
        f"flags={','.join(flags) or '<none>'}"
    )


def render_bandwidth(endpoints: Entries) -> str:
    """Limits of the answer of ``/v1/endpoints``; endpoints without any are left out."""
    return table(
        ("ENDPOINT", "INGRESS BANDWIDTH (BitsPerSec)", "EGRESS BANDWIDTH (BitsPerSec)"),
        (
            (view["id"], *map(_rate, view["bandwidth"].values()))
            for view in endpoints
            if any(view["bandwidth"].values())
        ),
    )


def _rate(limit: dict[str, int] | None) -> str:
    return scaled(limit["rate_bps"]) if limit else "-"


def render_metrics(counters: list[dict[str, Any]]) -> str:
    """Packets and bytes by what became of them."""
    rows = ((view["text"], view["direction"].upper(), view["packets"], view["bytes"]) for view in counters)
    return table(("REASON", "DIRECTION", "PACKETS", "BYTES"), rows)


@click.group(cls=Group)
def bpf() -> None:
    """Show the tables the eBPF programs decide by."""


def _table_group(name: str, map_name: str, render: Callable[[Entries], str], about: str) -> None:
    """A group with a ``list`` command that shows one map."""

    @bpf.group(name, help=f"Show {about}.")
    def group() -> None:
        pass

    @group.command("list", help=f"List {about}.", examples=(f"netctl bpf {name} list",))
    @output_option
    @with_agent
    def list_(client: Client, /, form: str) -> None:
        show(client.get("maps", map_name)["entries"], form, render)


_table_group("tunnel", "tunnels", render_tunnels, "the pod prefixes of other nodes and the tunnels to them")
_table_group("endpoint", "endpoints", render_endpoints, "the local addresses and where packets for them go")
_table_group("ipcache", "ipcache", render_ipcache, "the identity and tunnel of every known prefix")


bpf.add_command(ct)


@bpf.group
def bandwidth() -> None:
    """Show how fast endpoints may receive and send."""


@bandwidth.command("list", examples=("netctl bpf bandwidth list",))
@output_option
@with_agent
def list_bandwidth(client: Client, /, form: str) -> None:
    """List the limits of endpoints that have any."""
    show(client.get("endpoints"), form, render_bandwidth)


@bpf.group
def metrics() -> None:
    """Show packet counters by reason."""


@metrics.command("list", examples=("netctl bpf metrics list",))
@output_option
@with_agent
def list_metrics(client: Client, /, form: str) -> None:
    """List packets and bytes by reason and direction."""
    show(client.get("counters"), form, render_metrics)
