"""Help, examples and completion: every command describes itself, and every example works."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from netloom.cli import reference
from netloom.cli.commands import Command
from netloom.cli.main import COMMANDS, cli
from support.netctl import Netctl
from support.recorded_agent import RecordedAgent

BIN = Path(sys.executable).parent
ELSEWHERE = {"lab"}
"""Groups with tests of their own."""


def commands(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of netctl with its words, groups left out."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if path or name not in ELSEWHERE:
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_says_what_it_does_and_gives_an_example(netctl: Netctl, path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert isinstance(command, Command)
    out = netctl(*path, "--help").out
    assert f"Usage: netctl {' '.join(path)}" in out
    assert command.help
    assert all(f"  {example}\n" in out for example in command.examples)
    assert command.examples


@pytest.mark.parametrize(
    "example", [example for command in ALL.values() if isinstance(command, Command) for example in command.examples]
)
def test_every_example_is_right_usage(example: str) -> None:
    words = shlex.split(example.removeprefix('eval "$(').partition("|")[0].partition(">")[0].rstrip(')" '))
    command: click.Command = cli
    context = click.Context(cli)
    for position, word in enumerate(words[1:], 1):
        if not isinstance(command, click.Group):
            break
        child = command.get_command(context, word)
        assert child is not None
        command, rest = child, words[position + 1 :]
    command.make_context("netctl", rest)


def test_the_documentation_is_what_the_commands_say() -> None:
    assert reference.DOCUMENT.read_text() == reference.render(), "run `python -m netloom.cli.reference`"


def test_help_lists_every_command_without_loading_one(netctl: Netctl) -> None:
    out = netctl("--help").out
    assert all(f"  {name} " in out and lazy.summary in out for name, lazy in COMMANDS.items())


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_there_is_a_completion_script_for_each_shell(netctl: Netctl, shell: str) -> None:
    status, out, err = netctl("completion", shell)
    assert (status, err) == (0, "")
    assert f"_NETCTL_COMPLETE={shell}_complete" in out


def complete(socket: Path, *words: str) -> list[str]:
    """What bash would offer for the last of ``words``, by evaluating the script as its help says."""
    script = """
        eval "$(netctl completion bash)"
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _netctl_completion netctl
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "NETLOOM_SOCKET": str(socket)}
    command = ["bash", "--norc", "-c", script, "bash", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("netctl", "en"), ["endpoint"]),
        (("netctl", "bpf", "ipcache", ""), ["list"]),
        (("netctl", "monitor", "--type", ""), ["drop", "trace", "policy-verdict"]),
        (("netctl", "monitor", "-t", "drop,tr"), ["drop,trace"]),
        (("netctl", "endpoint", "get", ""), ["1", "2"]),
        (("netctl", "map", "get", "ev"), ["events"]),
    ],
    ids="-".join,
)
def test_bash_completes_words_and_what_the_agent_knows(
    agent: RecordedAgent, words: tuple[str, ...], offered: list[str]
) -> None:
    assert offered == complete(agent.socket, *words)


def test_completion_without_an_agent_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    assert complete(tmp_path / "none.sock", "netctl", "endpoint", "get", "") == []
