"""``netctl``: the commands, and how the program ends."""

from __future__ import annotations

import click

from netloom import __version__
from netloom.cli.commands import Lazy, LazyGroup
from netloom.cli.errors import EXIT_INTERRUPTED, exit_status
from netloom.cli.extra import extra_commands
from netloom.cli.options import target_options
from netloom.model.errors import NetloomError

COMMANDS = {
    "bpf": Lazy("netloom.cli.bpf:bpf", "Show the tables the eBPF programs decide by."),
    "cni": Lazy("netloom.cli.cni:cni", "Install what container runtimes call, take it off again."),
    "completion": Lazy("netloom.cli.completion:completion", "Print a script that completes commands in a shell."),
    "config": Lazy("netloom.cli.config:config", "Check a node config, show the one in use."),
    "endpoint": Lazy("netloom.cli.endpoint:endpoint", "Show the workload interfaces of the node."),
    "identity": Lazy("netloom.cli.identity:identity", "Show identities and the labels they stand for."),
    "lab": Lazy("netloom.lab.cli:lab", "Run a whole cluster inside this machine."),
    "map": Lazy("netloom.cli.maps:maps", "Show any eBPF map of the agent."),
    "monitor": Lazy("netloom.cli.monitor:monitor", "Watch drops, verdicts and traces as they happen."),
    "node": Lazy("netloom.cli.node:node", "Show the nodes of the cluster, forget one."),
    "observe": Lazy("netloom.cli.observe.command:observe", "Show flows, who let them pass, and who did not."),
    "plugins": Lazy("netloom.cli.plugins:plugins", "Show the installed plugins and how they fare, ask them."),
    "policy": Lazy("netloom.cli.policy.command:policy", "Import network policies, ask what they do."),
    "prefilter": Lazy("netloom.cli.prefilter:prefilter", "Refuse packets by their source, at the underlay device."),
    "route": Lazy("netloom.cli.route:route", "Show the routes of the node that are Netloom's."),
    "status": Lazy("netloom.cli.status:status", "Show how the agent of the node fares."),
    "version": Lazy("netloom.cli.version:version", "Show the versions of netctl and of the agent."),
    "walk": Lazy("netloom.cli.walk.command:walk", "Show the way of a packet, without sending one."),
}


@click.group(
    examples=(
        "netctl status",
        "netctl endpoint list",
        "netctl --node node2 bpf ipcache list",
        "netctl monitor --type drop",
    ),
    cls=LazyGroup,
    lazy=COMMANDS,
    extra=extra_commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 the request failed, 2 wrong usage, 3 no agent could be reached, "
    "4 files that were checked or imported have problems, 5 the packet of a walk or a policy trace is dropped, "
    "6 what a policy what-if is about would change something.",
)
@click.version_option(__version__, prog_name="netctl", message="%(prog)s %(version)s")
@target_options(envvar="NETLOOM_SOCKET")
def cli(**_target: str | None) -> None:
    """Look at a Netloom node, and at what its agent does."""


def main() -> int:
    """Run a command; returns the exit status. When whoever reads our output has gone, click ends us with 1."""
    try:
        status = cli.main(prog_name="netctl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except NetloomError as error:
        click.echo(f"netctl: {error}", err=True)
        return exit_status(error)
    return status if isinstance(status, int) else 0
