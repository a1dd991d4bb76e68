"""``netctl lab``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netloom.lab import topology

if TYPE_CHECKING:
    from netloom.lab.lab import Lab


def examples(*lines: str) -> str:
    """The end of a command's help, kept as it is written."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])


name_option = click.option(
    "--name",
    default=topology.DEFAULT_NAME,
    show_default=True,
    metavar="NAME",
    help="Which lab; several may stand at once.",
)


@click.group(
    epilog=examples(
        "netctl lab up",
        "netctl lab exec busybox1 -- ping -c 1 10.244.2.2",
        "netctl lab exec node1 -- netctl status",
        "netctl lab status",
        "netctl lab down",
    )
)
def lab() -> None:
    """Run a whole cluster inside this machine.

    Every node is a network namespace with an agent of its own, every pod a namespace attached through CNI, and the
    data path is the kernel's, as on real nodes. The machine's own network is not touched. Needs root.
    """


@lab.command(epilog=examples("netctl lab up", "netctl lab up --name wide --nodes 5", "netctl lab up --config all.yaml"))
@name_option
@click.option(
    "--nodes",
    type=click.IntRange(1, topology.MAX_NODES),
    help=f"How many nodes; {topology.DEFAULT_NODES} unless the config says otherwise.",
)
@click.option(
    "--pods",
    type=click.IntRange(0, topology.MAX_PODS_PER_NODE),
    help=f"How many pods on each node; {topology.DEFAULT_PODS_PER_NODE} unless the config says otherwise.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings for every node, and of the lab itself; names, addresses and paths are the lab's.",
)
def up(name: str, nodes: int | None, pods: int | None, config_file: Path | None) -> None:
    """Make a lab."""
    from netloom.lab import lab as labs
    from netloom.lab import settings as lab_settings
    from netloom.lab.overview import overview, render

    file = str(config_file or "")
    section, settings = lab_settings.read(config_file.read_text() if config_file else "", file)
    asked = lab_settings.Asked(name=name, nodes=nodes, pods_per_node=pods)
    made = labs.up(lab_settings.spec_of(asked, section, file), settings, click.echo)
    click.echo("\n" + render(overview(made)))


@lab.command(epilog=examples("netctl lab down"))
@name_option
def down(name: str) -> None:
    """Take a lab away, also one whose making was interrupted. Nothing of it stays."""
    from netloom.lab import lab as labs

    labs.down(name, click.echo)
    click.echo(f'lab "{name}" is gone')


@lab.command(epilog=examples("netctl lab status"))
@name_option
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(name: str, form: str) -> None:
    """Show nodes and pods of a lab, and how they fare."""
    from netloom.lab import lab as labs
    from netloom.lab.overview import overview, render

    view = overview(labs.find(name))
    click.echo(json.dumps(view, indent=2) if form == "json" else render(view))


@lab.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "netctl lab exec busybox1 -- ip address",
        "netctl lab exec node1 -- netctl bpf endpoint list",
        "netctl lab exec underlay -- tcpdump -ni underlay -T vxlan udp port 8472",
        "netctl lab exec tor1 -- vtysh -c 'show bgp summary'",
        "netctl lab exec reflector -- birdc show protocols",
    ),
)
@name_option
@click.argument("where")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str, where: str, command: tuple[str, ...]) -> None:
    """Run a command in a pod, on a node, in a router, or on the underlay.

    WHERE is the name of a pod (busybox1), of a node (node1: netctl then asks that node's agent), or "underlay"; in a
    lab with racks also of a router (tor1: vtysh then speaks with it) or "reflector" (so does birdc). The exit status
    is the command's.
    """
    from netloom.lab import lab as labs
    from netloom.lab.inside import argv_in
    from netloom.lab.routers import adapted

    found = labs.find(name)
    netns = found.topology.namespace_of(where)
    # What follows the place is left as it is, with the dashes that may set it off.
    given = command[1:] if command[0] == "--" else command
    argv = argv_in(netns, adapted(found.topology, where, given))
    sys.stdout.flush()
    os.execvpe(argv[0], argv, environment_of(found, where))


@lab.command(epilog=examples("netctl lab demo", "netctl lab demo --pause --keep"))
@click.option("--name", default="demo", show_default=True, metavar="NAME", help="Of the lab that is made for it.")
@click.option("--keep", is_flag=True, help="Leave the lab standing at the end.")
@click.option("--pause", is_flag=True, help="Wait for Enter before each step.")
def demo(name: str, keep: bool, pause: bool) -> None:
    """Bring a lab up and show, step by step, how a packet finds its way."""
    from netloom.lab.demo import run

    run(name, keep=keep, pause=pause)


def environment_of(found: Lab, where: str) -> dict[str, str]:
    """Ours, with our programs in PATH; on a node, netctl asks its agent."""
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
    if found.topology.has_node(where):
        environment["NETLOOM_SOCKET"] = str(found.files.socket(where))
    return environment
