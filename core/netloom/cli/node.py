"""``netctl node``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.errors import RequestFailed
from netloom.cli.options import completing, output_option, with_agent
from netloom.cli.output import pairs, printable, show, table

HEADERS = ("Name", "IPv4 Address", "Endpoint CIDR", "IPv6 Address", "Endpoint CIDR", "Reached by")


def render(views: list[dict[str, Any]]) -> str:
    """The answer of ``/v1/nodes``, the local node marked."""
    return table(HEADERS, (_row(view) for view in views))


def _row(view: dict[str, Any]) -> tuple[str, ...]:
    cidrs = view["pod_cidrs"]
    return (
        f"{view['name']} (localhost)" if view["local"] else view["name"],
        view["underlay_ipv4"] or "",
        "\n".join(cidr for cidr in cidrs if ":" not in cidr),
        view["underlay_ipv6"] or "",
        "\n".join(cidr for cidr in cidrs if ":" in cidr),
        _reached(view),
    )


def _reached(view: dict[str, Any]) -> str:
    """By which mode, and whether that one sends packets as they are."""
    if view["local"]:
        return "-"
    if view["state"] != "reachable":
        return "nothing"
    return f"{view['reached_by']} (tunnel)" if view["way"] == "tunnel" else view["reached_by"]


def render_one(view: dict[str, Any]) -> str:
    """One element of the answer of ``/v1/nodes``."""
    return pairs(
        (
            ("Name", f"{view['name']} (localhost)" if view["local"] else view["name"]),
            ("Underlay", "\n".join(filter(None, (view["underlay_ipv4"], view["underlay_ipv6"]))) or "-"),
            ("Segments", "\n".join(view["segments"]) or "-"),
            ("Pods", "\n".join(view["pod_cidrs"]) or "-"),
            ("Gateways", "\n".join(view["gateways"]) or "-"),
            ("Takes", ", ".join(view["modes"])),
            ("Reached by", "\n".join([_reached(view), *filter(None, [view["error"]])])),
            ("Not otherwise", "\n".join(view["passed_over"]) or "-"),
        )
    )


def complaints(views: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """A sentence for each node whose pods cannot be reached."""
    return tuple(
        printable(f'node "{view["name"]}" is {view["state"]}: {view["error"]}')
        for view in views
        if view["state"] != "reachable"
    )


@click.group(cls=Group)
def node() -> None:
    """Show the nodes of the cluster, forget one."""


@node.command("list", examples=("netctl node list", "netctl node list -o yaml"))
@output_option
@with_agent
def list_(client: Client, /, form: str) -> None:
    """List the nodes of the cluster; what keeps one from being reached is told on standard error."""
    views = client.get("nodes")
    show(views, form, render)
    for complaint in complaints(views):
        click.echo(f"netctl: {complaint}", err=True)


@node.command(examples=("netctl node get node3",))
@click.argument("name", shell_complete=completing("nodes", field="name"))
@output_option
@with_agent
def get(client: Client, /, name: str, form: str) -> None:
    """Show everything about one node: how it is reached, and why not otherwise."""
    found = next((view for view in client.get("nodes") if view["name"] == name), None)
    if found is None:
        raise RequestFailed("not_found", f'node "{name}" is not in the cluster; see `netctl node list`')
    show(found, form, render_one)


@node.command(examples=("netctl node forget node3",))
@click.argument("name", shell_complete=completing("nodes", field="name"))
@with_agent
def forget(client: Client, /, name: str) -> None:
    """Remove a node that is gone for good from the cluster, with its addresses.

    A node that still runs publishes itself again when its agent starts.
    """
    if not client.delete("nodes", name)["removed"]:
        raise RequestFailed("not_found", f'node "{name}" is not in the cluster; see `netctl node list`')
    click.echo(f'Node "{name}" is forgotten.')
