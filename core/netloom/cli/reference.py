"""Renders ``docs/netctl.md`` from the commands themselves: ``python -m netloom.cli.reference [--check]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from netloom.cli.main import cli

DOCUMENT = Path(__file__).parents[3] / "docs" / "netctl.md"
WIDTH = 100
INTRODUCTION = """\
# netctl

The command people look at a node with. It asks the node's agent over a unix socket, which needs no more rights than
reading and writing that socket (root, or the group named by `api.group` in the node config). Only `netctl cni` writes
files and `netctl lab` makes a cluster: both are for root.

This page is rendered from the commands by `python -m netloom.cli.reference`.

## Which agent is asked

1. The one named by the command's own `--node NAME` or `--socket PATH`.
2. The one named by the same options before the command: `netctl --node node2 status`.
3. The one whose socket the environment variable `NETLOOM_SOCKET` names.
4. The only one that listens below `/run/netloom/<node>/`, or in a lab of this machine. Where several listen, netctl
   lists them and asks for `--node`; a lab's agents are named `<lab>/<node>`, or `<node>` where that is clear.

## Output

Lists are tables for people. With `-o json` or `-o yaml` a command prints what the agent answered, with the names
and units of its API, which the agent describes under `/v1/openapi.json`. Only that is for programs; tables may
change. Warnings and errors go to standard error.

## Exit status

| status | meaning |
| --- | --- |
| 0 | done |
| 1 | the request failed: the agent said why |
| 2 | wrong usage, words that make no sense together, or several agents run and none was named |
| 3 | no agent could be reached |
| 4 | a file that was checked or imported, a node config or policies, has problems |
| 5 | the packet of a `walk` or of a `policy trace` is dropped |
| 6 | what a `policy what-if` is about would change something |
| 130 | interrupted by Ctrl-C |

## Completion

`eval "$(netctl completion bash)"` in `~/.bashrc` completes commands and options, and names the agent knows:
endpoints, maps, nodes.
"""


def render() -> str:
    """The whole page."""
    root = click.Context(cli, info_name="netctl", terminal_width=WIDTH, help_option_names=["-h", "--help"])
    return "\n".join([INTRODUCTION, "## Commands", *_sections(cli, root), ""])


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """A section for each command below ``command``."""
    if not isinstance(command, click.Group):
        yield f"\n### {context.command_path}\n\n```text\n{command.get_help(context)}\n```"
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            yield from _sections(child, click.Context(child, parent=context, info_name=name))


def main() -> int:
    """Write the page, or with ``--check`` say whether it is stale; returns the exit status."""
    page = render()
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(page)
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text() == page:
        return 0
    click.echo(f"{DOCUMENT} is stale: run `python -m netloom.cli.reference`", err=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
