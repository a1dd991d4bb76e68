"""``netctl policy trace``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.errors import EXIT_DROPPED, AgentAway, Unusable
from netloom.cli.options import output_option, with_agent
from netloom.cli.output import show
from netloom.cli.policy.trace_text import render
from netloom.cli.requests import Asking, request_options
from netloom.cli.sockets import SOCKET_NAME
from netloom.model.errors import Invalid

View = dict[str, Any]
_POD = re.compile(r"([a-z0-9.-]+/)?[a-z0-9.-]*[a-z-][a-z0-9.-]*")
"""What may be a pod and is no address."""


@click.command(
    cls=Command,
    examples=(
        "netctl policy trace --src shop/web-1 --dst shop/db-1 --dport 5432/tcp",
        "netctl policy trace --src world --dst k8s:app=web,k8s:io.kubernetes.pod.namespace=shop --dport 80 --dport 443",
        "netctl policy trace --src shop/web-1 --dst 192.0.2.0/24 --icmp 8",
        "netctl policy trace --src jobs/seeker --dst jobs/service --dport 80 --http 'GET /jobs/1'",
    ),
    epilog="Exit status: 0 all packets and requests pass, 5 one does not; errors as everywhere.",
)
@click.option("--src", "source", required=True, metavar="END", help="Who sends the first packet.")
@click.option("--dst", "destination", required=True, metavar="END", help="To whom.")
@click.option(
    "--dport",
    "ports",
    multiple=True,
    metavar="PORT[/PROTOCOL]",
    help="Port, or the name of one, of tcp (the default), udp or sctp; may be repeated.",
)
@click.option("--icmp", "icmp", multiple=True, metavar="TYPE", help="Number of an ICMP type; 8 asks for an echo.")
@click.option("--icmp6", "icmp6", multiple=True, metavar="TYPE", help="Number of an ICMPv6 type; 128 asks for an echo.")
@request_options
@click.option("-6", "six", is_flag=True, help="IPv6 where the ends leave it open.")
@output_option
@with_agent
def trace(
    client: Client,
    /,
    source: str,
    destination: str,
    form: str,
    *,
    six: bool,
    asking: Asking,
    **services: tuple[str, ...],
) -> None:
    """Tell why policies let packets pass or not, rule by rule, at both ends; nothing is sent.

    END is a pod (NAME or NAMESPACE/NAME), ep:NUMBER, id:NUMBER for an identity, labels (k8s:app=web,k8s:tier=db)
    whether anybody has them or not, an address, a prefix, host, world, or another reserved name. The answer comes from
    the tables that the kernel has. It is about the first packet of a connection: replies pass with it. Where policies
    ask about requests, --http, --grpc or --l7 tells what becomes of one.
    """
    body = {
        "source": located(client, source),
        "destination": located(client, destination),
        "services": asked(**services),
        "family": 6 if six else None,
        **(asking.said(destination) or {}),
    }
    view = client.post(body, "policies", "trace")
    show(view, form, render)
    if not all(one["passes"] for one in view["traces"]):
        click.get_current_context().exit(EXIT_DROPPED)


def asked(ports: Iterable[str] = (), icmp: Iterable[str] = (), icmp6: Iterable[str] = ()) -> list[str]:
    """Services as the API takes them. Raises Unusable for what is none."""
    found = [*ports, *(f"{number}/icmp" for number in icmp), *(f"{number}/icmp6" for number in icmp6)]
    if not found:
        raise Unusable(
            "nothing is sent: name what with --dport PORT, --icmp TYPE or --icmp6 TYPE; or see `netctl policy matrix`"
        )
    for text in found:
        _check(text)
    return found


def _check(text: str) -> None:
    from netloom.policy.questions import read_service

    if not re.fullmatch(r"[a-z0-9-]*[a-z-][a-z0-9-]*(/(tcp|udp|sctp))?", text.lower()):
        try:
            read_service(text)
        except Invalid as error:
            raise Unusable(str(error)) from error


def located(client: Client, text: str) -> str | View:
    """An end as the agent is to read it: a pod of another node whose agent listens beside it by its addresses."""
    from netloom.model.identity import Reserved

    if not _POD.fullmatch(text) or text in {item.label.key for item in Reserved}:
        return text
    found: list[View] = []
    for other in (client, *_others(client)):
        with suppress(AgentAway):
            found = [view for view in other.get("endpoints") if is_meant(text, view)]
        if found:
            break
    if len(found) != 1 or other is client:
        return text
    view = found[0]
    return {
        "name": f"{view['pod_namespace']}/{view['pod_name']}",
        "addresses": [view[family] for family in ("ipv4", "ipv6") if view[family]],
    }


def is_meant(text: str, view: View) -> bool:
    """Whether an endpoint is the pod named."""
    return bool(view["pod_name"]) and text in (view["pod_name"], f"{view['pod_namespace']}/{view['pod_name']}")


def _others(client: Client) -> Iterator[Client]:
    """Agents of the same cluster on this machine: those whose sockets stand beside."""
    for path in sorted(client.socket_path.parents[1].glob(f"*/{SOCKET_NAME}")):
        if path != client.socket_path:
            yield Client(path)
