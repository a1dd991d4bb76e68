"""``netctl endpoint``."""

from __future__ import annotations

from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.options import completing, output_option, with_agent
from netloom.cli.output import pairs, scaled, show, table

HEADERS = (
    "ENDPOINT",
    "POLICY (ingress)\nENFORCEMENT",
    "POLICY (egress)\nENFORCEMENT",
    "IDENTITY",
    "LABELS (source:key[=value])",
    "IPv6",
    "IPv4",
    "STATUS",
)


def render_list(views: list[dict[str, Any]]) -> str:
    """The answer of ``/v1/endpoints``, one row an endpoint."""
    return table(HEADERS, (_row(view) for view in views))


def _row(view: dict[str, Any]) -> tuple[object, ...]:
    return (
        view["id"],
        view["policy"]["ingress"],
        view["policy"]["egress"],
        view["identity"],
        "\n".join(view["labels"]),
        view["ipv6"] or "",
        view["ipv4"] or "",
        view["state"],
    )


def render_one(view: dict[str, Any]) -> str:
    """The answer of ``/v1/endpoints/{id}``, one line a fact."""
    pod = "/".join(part for part in (view["pod_namespace"], view["pod_name"]) if part)
    return pairs(
        (
            ("Endpoint", view["id"]),
            ("State", view["state"]),
            ("Pod", pod or "-"),
            ("Container", view["container_id"]),
            ("Network namespace", view["netns"]),
            ("Interface", f"{view['ifname']} {view['mac']}"),
            ("Host interface", f"{view['host_ifname']} {view['node_mac']} (ifindex {view['ifindex']})"),
            ("IPv4", view["ipv4"] or "-"),
            ("IPv6", view["ipv6"] or "-"),
            ("Identity", view["identity"]),
            ("Labels", "\n".join(view["labels"]) or "-"),
            ("Named ports", ", ".join(view["ports"]) or "-"),
            ("Bandwidth", _bandwidth(view["bandwidth"])),
            ("Policy", f"ingress {view['policy']['ingress']}, egress {view['policy']['egress']}"),
        )
    )


def _bandwidth(limits: dict[str, Any]) -> str:
    texts = (
        f"{direction} {scaled(limit['rate_bps'], ' ')}bit/s (burst {limit['burst_bits'] // 8} bytes)"
        for direction, limit in limits.items()
        if limit
    )
    return ", ".join(texts) or "-"


@click.group(cls=Group)
def endpoint() -> None:
    """Show and change the workload interfaces of the node."""


@endpoint.command("list", examples=("netctl endpoint list", "netctl endpoint list -o json | jq -r '.[].ipv4'"))
@output_option
@with_agent
def list_(client: Client, /, form: str) -> None:
    """List the endpoints of the node."""
    show(client.get("endpoints"), form, render_list)


@endpoint.command(examples=("netctl endpoint get 3",))
@click.argument("number", metavar="ID", type=click.IntRange(1), shell_complete=completing("endpoints", field="id"))
@output_option
@with_agent
def get(client: Client, /, number: int, form: str) -> None:
    """Show everything about one endpoint."""
    show(client.get("endpoints", number), form, render_one)


@endpoint.command(
    examples=("netctl endpoint labels 3 --add app=web --add k8s:tier=front", "netctl endpoint labels 3 --delete debug")
)
@click.argument("number", metavar="ID", type=click.IntRange(1), shell_complete=completing("endpoints", field="id"))
@click.option("--add", "-a", multiple=True, metavar="LABEL", help="[source:]key=value; a value that was there goes.")
@click.option("--delete", "-d", multiple=True, metavar="LABEL", help="[source:]key, or with the value it must have.")
@output_option
@with_agent
def labels(client: Client, /, number: int, add: tuple[str, ...], delete: tuple[str, ...], form: str) -> None:
    """Change the labels of an endpoint, and with them its identity and its policies.

    Everything changes in one step, or nothing does. The runtime does not learn of it: a pod that is attached again
    has the labels its runtime gives it.
    """
    if not add and not delete:
        raise click.UsageError("say what to change: --add LABEL, --delete LABEL, or both.")
    show(client.send("PATCH", {"add_labels": add, "delete_labels": delete}, "endpoints", number), form, render_one)


@endpoint.command(examples=("netctl endpoint ports 3 http:TCP:80 dns:UDP:53", "netctl endpoint ports 3"))
@click.argument("number", metavar="ID", type=click.IntRange(1), shell_complete=completing("endpoints", field="id"))
@click.argument("ports", nargs=-1, metavar="[NAME:PROTOCOL:PORT]...")
@output_option
@with_agent
def ports(client: Client, /, number: int, ports: tuple[str, ...], form: str) -> None:
    """Say which ports of an endpoint have names that policies may use; all at once, none to forget them."""
    show(client.send("PATCH", {"ports": ports}, "endpoints", number), form, render_one)
