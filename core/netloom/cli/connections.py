"""``netctl bpf ct``: connections as the programs remember them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.errors import Unusable
from netloom.cli.options import completing, output_option, with_agent
from netloom.cli.output import printable, show, table

R = TypeVar("R")
View = dict[str, Any]
Query = list[tuple[str, str]]
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
_WORDS = {number: name for name, number in PROTOCOLS.items()}
_ICMP = (PROTOCOLS["icmp"], PROTOCOLS["icmp6"])
LIMIT = 10_000


def render(views: list[View]) -> str:
    """Connections of the answer of ``/v1/connections``, by protocol and ends."""
    headers = ("PROTOCOL", "SOURCE", "DESTINATION", "STATE", "IDENTITIES", "SENT", "RECEIVED", "EXPIRES")
    return table(headers, map(_row, sorted(views, key=_place)))


def _row(view: View) -> tuple[object, ...]:
    return (
        _WORDS.get(view["protocol"], view["protocol"]),
        *_ends(view),
        f"{view['state']}, refused" if view["refused"] else view["state"],
        f"{view['source_identity']}->{view['destination_identity']}",
        f"{view['sent_packets']} packets, {view['sent_bytes']} bytes",
        f"{view['received_packets']} packets, {view['received_bytes']} bytes",
        f"{view['expires_in_s']:.0f}s",
    )


def _ends(view: View) -> tuple[str, str]:
    """Queries of ICMP have a number and a type, and both stand where they are told from ports."""
    if view["protocol"] in _ICMP:
        return f"{view['source']} number {view['source_port']}", f"{view['destination']} type {view['service']}"
    return _end(view["source"], view["source_port"]), _end(view["destination"], view["destination_port"])


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _place(view: View) -> tuple[object, ...]:
    source, destination = ip_address(view["source"]), ip_address(view["destination"])
    ports = (view["source_port"], view["destination_port"])
    return view["protocol"], source.version, int(source), int(destination), ports


def narrowing(function: Callable[..., R]) -> Callable[..., R]:
    """Options that say which connections are meant; the command is given them as a query."""

    @click.option("--address", "addresses", metavar="IP", multiple=True, help="Of this end, whichever it is.")
    @click.option(
        "--pod",
        "pods",
        metavar="POD",
        multiple=True,
        shell_complete=completing("endpoints", field="pod_name"),
        help="Of this pod of the node, by name, with its namespace where it is not clear.",
    )
    @click.option("--port", "ports", metavar="N", multiple=True, type=click.IntRange(0, 65535), help="At either end.")
    @click.option(
        "--protocol", "protocols", metavar="NAME", multiple=True, help="tcp, udp, sctp, icmp, icmp6 or a number."
    )
    @functools.wraps(function)
    def command(client: Client, /, **options: Any) -> R:
        query = [("address", address) for address in options.pop("addresses")]
        query += [("address", address) for pod in options.pop("pods") for address in _addresses_of(client, pod)]
        query += [("port", str(port)) for port in options.pop("ports")]
        query += [("protocol", _number_of(protocol)) for protocol in options.pop("protocols")]
        return function(client, query, **options)

    return command


def _addresses_of(client: Client, pod: str) -> list[str]:
    names = {name: view for view in client.get("endpoints") for name in _names_of(view)}
    meant = [view for view in client.get("endpoints") if pod in _names_of(view)]
    if len(meant) != 1:
        known = ", ".join(sorted(name for name in names if "/" in name)) or "none"
        found = "several are" if meant else "none is"
        raise Unusable(f'{found} called "{printable(pod)}" on this node; its pods: {printable(known)}')
    return [address for address in (meant[0]["ipv4"], meant[0]["ipv6"]) if address]


def _names_of(view: View) -> tuple[str, ...]:
    name = view["pod_name"]
    return (name, f"{view['pod_namespace']}/{name}") if name else ()


def _number_of(protocol: str) -> str:
    if protocol.isascii() and protocol.isdigit():
        return protocol
    number = PROTOCOLS.get(protocol.lower())
    if number is None:
        raise Unusable(f'no protocol is called "{printable(protocol)}": {", ".join(PROTOCOLS)}, or a number')
    return str(number)


@click.group(cls=Group)
def ct() -> None:
    """Show and forget connections."""


@ct.command(
    "list",
    examples=(
        "netctl bpf ct list",
        "netctl bpf ct list --protocol tcp --port 443",
        "netctl bpf ct list --address 10.244.1.2 -o json",
    ),
)
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True, help="Show no more than so many.")
@output_option
@with_agent
@narrowing
def list_(client: Client, query: Query, /, *, limit: int, form: str) -> None:
    """List connections of the node's pods, narrowed down to those that fit."""
    answer = client.get("connections", query=[*query, ("limit", str(limit))])
    show(answer["connections"], form, render)
    if answer["matching"] > len(answer["connections"]):
        click.echo(f"{answer['matching']} fit, {limit} are shown: see --limit", err=True)


@ct.command(examples=("netctl bpf ct flush --address 10.244.1.2", "netctl bpf ct flush"))
@with_agent
@narrowing
def flush(client: Client, query: Query, /) -> None:
    """Forget connections, all or those that fit: their next packets are judged as first ones.

    What policies allow goes on. What was only an answer waits until whoever began speaks again.
    """
    click.echo(f"{client.delete('connections', query=query)['forgotten']} connections forgotten")
