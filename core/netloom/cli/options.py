"""Options that many commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from netloom.cli.client import Client
from netloom.cli.sockets import agents, find_socket
from netloom.model.errors import NetloomError

P = ParamSpec("P")
R = TypeVar("R")
FORMATS = click.Choice(["table", "json", "yaml"])


def complete_nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Nodes whose agents run on this machine."""
    del ctx, param
    return [CompletionItem(name) for name in agents() if name.startswith(incomplete)]


def target_options(*, envvar: str | None = None) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """``--socket`` and ``--node``; the values are read by :func:`chosen_client`."""

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        with_node = click.option(
            "--node",
            metavar="NAME",
            shell_complete=complete_nodes,
            help="Ask the agent of this node, where several run.",
        )
        with_socket = click.option(
            "--socket",
            "socket_path",
            metavar="PATH",
            type=click.Path(),
            envvar=envvar,
            show_envvar=True,
            help="Ask the agent that listens here.",
        )
        return with_socket(with_node(function))

    return decorate


output_option = click.option(
    "-o", "--output", "form", type=FORMATS, default="table", show_default=True, help="For people, or for programs."
)


def chosen_client(ctx: click.Context) -> Client:
    """The agent named by this command's options, else by those of ``netctl``, else the only one of this machine.

    Raises AgentAway or Ambiguous.
    """
    for level in (ctx.params, ctx.find_root().params):
        if node := level.get("node"):
            return Client(find_socket(node, agents()))
        if path := level.get("socket_path"):
            return Client(Path(path))
    return Client(find_socket(None, agents()))


def with_agent(function: Callable[Concatenate[Client, P], R]) -> Callable[P, R]:
    """The command takes ``--socket`` and ``--node``, and is called with a client for the agent meant."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs.pop("socket_path")
        kwargs.pop("node")
        return function(chosen_client(click.get_current_context()), *args, **kwargs)

    return target_options()(command)


def completing(*path: str, field: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Complete an argument with a field of what the agent lists under ``path``; with nothing when it is away."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del param
        try:
            views = chosen_client(ctx).get(*path)
        except NetloomError:
            return []
        return [CompletionItem(str(view[field])) for view in views if str(view[field]).startswith(incomplete)]

    return complete
