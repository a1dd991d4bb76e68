"""``netctl walk``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from netloom.cli.commands import Command
from netloom.cli.errors import EXIT_AWAY, EXIT_DROPPED, Ambiguous, Unusable
from netloom.cli.options import chosen_client, output_option, target_options
from netloom.cli.output import show
from netloom.cli.pictures import picture_option, write_picture
from netloom.cli.requests import Asking, request_options
from netloom.cli.sockets import agents, several
from netloom.cli.walk.ends import Words, find_destination, find_start, source_of
from netloom.cli.walk.picture import picture
from netloom.cli.walk.route import UNKNOWN, Cluster, Errand, Way, follow
from netloom.cli.walk.text import render
from netloom.datapath.packets import read_packet
from netloom.model.address import Address

PROTOCOLS = ("icmp", "tcp", "udp")
DEFAULT_TTL = 64
HTTP_PORT = 80

View = dict[str, Any]


@click.command(
    cls=Command,
    examples=(
        "netctl walk busybox1 busybox3",
        "netctl walk busybox1 world --proto tcp --port 443 --picture way.svg",
        "netctl walk busybox1@10.9.9.9 busybox2",
        "netctl walk host 10.244.2.2 --node node1 --size 1400 -o json",
        "netctl walk jobs/job-seeker jobs/job-postings --http 'GET /jobs/1'",
    ),
    epilog="Exit status: 0 delivered, on its way to the world, or handed to a proxy that was asked about no request, "
    "5 dropped, or the request denied, 3 the next node's agent cannot be asked; "
    "errors as everywhere: 1 the request failed, 2 wrong usage.",
)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option(
    "--proto",
    "protocol",
    type=click.Choice(PROTOCOLS),
    help="What to send.  [default: icmp; tcp for a request]",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Destination port of TCP and UDP.  [default for --http and --grpc: {HTTP_PORT}]",
)
@click.option("--size", "size_bytes", metavar="BYTES", type=click.IntRange(min=1), help="Of the IP packet.")
@click.option("--df", "dont_fragment", is_flag=True, help="Forbid the sender's stack to cut what is too large.")
@click.option(
    "--ttl", type=click.IntRange(1, 255), help=f"Hops it may take.  [default: {DEFAULT_TTL}; 1 for multicast]"
)
@click.option(
    "--source", "forged", metavar="ADDRESS", default="", help="Claim to be this address, as POD@ADDRESS does."
)
@click.option("-6", "six", is_flag=True, help="Send IPv6 where the names leave it open.")
@request_options
@click.option("--reply", is_flag=True, help="Walk the answer's way back too.")
@click.option("-v", "--verbose", is_flag=True, help="Show every lookup, and the packet after each hop.")
@picture_option("Draw it as SVG.")
@output_option
@target_options()
@click.pass_context
def walk(ctx: click.Context, /, source: str, destination: str, asking: Asking, **options: Any) -> None:
    """Show the way of a packet, without sending one.

    SRC and DST are a pod, namespace/pod, ep:NUMBER, an address, host, or world. The packet goes through twins of the
    programs that are loaded, over the tables they use, and through the kernel's own answers about routes: what is shown
    is what a real packet would meet now. Nothing is sent, and nothing is counted. Where packets go to a node's proxy,
    --http, --grpc or --l7 asks it about a request, and the walk goes on if the request would.
    """
    _complete(options, asking)
    words = Words(source=source, destination=destination, forged=options["forged"], six=options["six"])
    found = _document(ctx, words, asking, options)
    show(found, options["form"], lambda view: render(view, verbose=options["verbose"]))
    if options["picture_file"]:
        write_picture(options["picture_file"], picture(found))
    ctx.exit({"dropped": EXIT_DROPPED, "denied": EXIT_DROPPED, UNKNOWN: EXIT_AWAY}.get(found["outcome"]["fate"], 0))


def _complete(options: View, asking: Asking) -> None:
    """Requests go over TCP, and those of HTTP to its port, unless something else is asked for."""
    is_asked = asking.said("") is not None
    options["protocol"] = options["protocol"] or ("tcp" if is_asked else "icmp")
    if is_asked and options["protocol"] != "tcp":
        raise Unusable(f"a request goes over TCP, and --proto {options['protocol']} asks for something else")
    if is_asked and asking.spoken is None:
        options["port"] = options["port"] or HTTP_PORT


def _document(ctx: click.Context, words: Words, asking: Asking, options: View) -> View:
    """The walk as ``-o json`` prints it."""
    cluster = _cluster(ctx)
    words = replace(words, preferred=cluster.chosen, silent=cluster.silent())
    start = find_start(words, cluster.sites)
    label, destination = find_destination(words, cluster.sites, start)
    packet = _packet(destination, source_of(start, destination), options)
    body = {"start": start.kind, "endpoint": start.endpoint, "packet": packet}
    request = asking.said(words.destination)
    way = follow(cluster, start.site, Errand(body=body, request=request))
    found = _view((start.label, label), packet, way)
    found["reply"] = _reply(cluster, found, way) if options["reply"] else None
    return found | {"asked": request is not None}


def _cluster(ctx: click.Context) -> Cluster:
    """The agents to ask. Raises AgentAway, or Ambiguous when several clusters are here and no node was chosen."""
    named = any(level.get(name) for level in (ctx.params, ctx.find_root().params) for name in ("node", "socket_path"))
    running = agents()
    directories = {path.parents[1] for path in running.values()}
    if named or not directories:
        path = chosen_client(ctx).socket_path
        return Cluster(path.parents[1], path)
    if len(directories) > 1:
        raise Ambiguous(several(running))
    return Cluster(directories.pop())


def _packet(destination: Address, source: Address | None, options: View) -> View:
    protocol, port = options["protocol"], options["port"]
    if (protocol == "icmp") != (port is None):
        raise click.UsageError("--proto tcp and --proto udp need --port N, and icmp has none")
    return {
        "destination": str(destination),
        "source": str(source) if source else "",
        "protocol": protocol,
        "port": port or 0,
        "size_bytes": options["size_bytes"],
        "ttl": options["ttl"] or (1 if destination.is_multicast else DEFAULT_TTL),
        "dont_fragment": options["dont_fragment"],
        "reply": False,
    }


def _view(ends: tuple[str, str], packet: View, way: Way) -> View:
    outcome = {key: value for key, value in way.ending.items() if key != "frame"}
    shown = {key: value for key, value in packet.items() if key != "reply"}
    return {"from": ends[0], "to": ends[1], "packet": shown, "hops": list(way.hops), "outcome": outcome}


def _reply(cluster: Cluster, found: View, way: Way) -> View | None:
    """The way back of what answers a delivered packet, between the addresses its receiver saw."""
    if found["outcome"]["fate"] != "delivered":
        return None
    seen = read_packet(bytes.fromhex(way.hops[-1]["frame"]))
    packet = {
        **found["packet"],
        "destination": str(seen.source),
        "source": str(seen.destination),
        "ttl": DEFAULT_TTL,
        "reply": True,
    }
    endpoint = way.ending["endpoint_id"]
    body = {"start": "endpoint" if endpoint else "host", "endpoint": endpoint, "packet": packet}
    proxied = frozenset(hop["node"] for hop in way.hops if hop["place"] == "proxy")
    return _view((found["to"], found["from"]), packet, follow(cluster, way.last, Errand(body=body, proxied=proxied)))
