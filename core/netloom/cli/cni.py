"""``netctl cni``."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from netloom.cli.cni_files import PROGRAM_NAME, Installation
from netloom.cli.cni_install import call_program, install, uninstall
from netloom.cli.commands import Group
from netloom.cli.options import target_options
from netloom.cli.sockets import RUN_DIR, SOCKET_NAME, agents
from netloom.cni.request import SUPPORTED_VERSIONS, is_name

DEFAULT_VERSION = "1.0.0"
"""containerd 1.6 and podman 4 take nothing newer; CHECK is part of it, STATUS and GC are not."""
_DIRECTORY = click.Path(file_okay=False, path_type=Path)


def _network(ctx: click.Context, param: click.Parameter, value: str) -> str:
    del ctx, param
    if not is_name(value):
        raise click.BadParameter("expected letters, digits and _ . - after a letter or digit")
    return value


_bin_dir = click.option(
    "--bin-dir",
    type=_DIRECTORY,
    default="/opt/cni/bin",
    show_default=True,
    help="Where the runtime looks for programs.",
)
_conf_dir = click.option(
    "--conf-dir", type=_DIRECTORY, default="/etc/cni/net.d", show_default=True, help="Where it looks for networks."
)
_name = click.option(
    "--name", "network", default="netloom", show_default=True, callback=_network, help="Of the network, and its file."
)


@click.group(cls=Group)
def cni() -> None:
    """Install what container runtimes call, take it off again."""


@cni.command("install", examples=("netctl cni install", "netctl cni install --node node1 --cni-version 1.1.0"))
@_bin_dir
@_conf_dir
@_name
@click.option(
    "--cni-version",
    type=click.Choice(SUPPORTED_VERSIONS),
    default=DEFAULT_VERSION,
    show_default=True,
    help="Of the config; 1.1.0 has STATUS and GC, where the runtime knows them.",
)
@target_options()
def install_(
    *, bin_dir: Path, conf_dir: Path, network: str, cni_version: str, socket_path: str | None, node: str | None
) -> None:
    """Write the program that a runtime calls, and the network config that names it.

    The program asks the agent named by --node or --socket; else the only one that runs here, else the one of a node
    named like this host. No agent need run. A file that somebody else wrote, or changed, is not overwritten.
    """
    wanted = Installation(
        bin_dir=bin_dir.absolute(),
        conf_dir=conf_dir.absolute(),
        network=network,
        cni_version=cni_version,
        socket=_socket(socket_path, node),
    )
    for sentence in install(wanted):
        click.echo(sentence)


@cni.command("uninstall", examples=("netctl cni uninstall",))
@_bin_dir
@_conf_dir
@_name
def uninstall_(bin_dir: Path, conf_dir: Path, network: str) -> None:
    """Remove what was installed, unless somebody has changed it. Containers that are attached stay so."""
    wanted = Installation(
        bin_dir=bin_dir, conf_dir=conf_dir, network=network, cni_version=DEFAULT_VERSION, socket=Path("/")
    )
    for sentence in uninstall(wanted):
        click.echo(sentence)


@cni.command(examples=("netctl cni status",))
@_bin_dir
def status(bin_dir: Path) -> None:
    """Ask as a runtime does, through the installed program, whether a container could be attached now."""
    program = bin_dir / PROGRAM_NAME
    call_program(program, "STATUS")
    click.echo(f"{program} answers: containers can be attached.")


def _socket(path: str | None, node: str | None) -> Path:
    """The agent meant; it need not run."""
    if path:
        return Path(path)
    running = agents()
    if node is None and len(running) == 1:
        return next(iter(running.values()))
    name = node or socket.gethostname().split(".")[0]
    return running.get(name, RUN_DIR / name / SOCKET_NAME)
