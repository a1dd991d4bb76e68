"""``netctl completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from netloom.cli.commands import Command

SHELLS = ("bash", "fish", "zsh")
VARIABLE = "_NETCTL_COMPLETE"
"""The variable by which a completion script asks netctl for words; click derives it from the program's name."""


@click.command(
    cls=Command,
    examples=(
        'eval "$(netctl completion bash)"',
        'netctl completion zsh > "${fpath[1]}/_netctl"',
        "netctl completion fish > ~/.config/fish/completions/netctl.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print a script that completes commands in a shell."""
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion is known for {shell}, expected one of {', '.join(SHELLS)}")
    click.echo(made(ctx.find_root().command, {}, "netctl", VARIABLE).source())
