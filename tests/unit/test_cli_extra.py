"""Commands that other distributions bring to netctl."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from netloom.cli.commands import Lazy, LazyGroup, Unloadable
from netloom.cli.extra import GROUP, extra_commands

Install = Callable[[str], LazyGroup]


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution that brings ``netctl extra`` with this module, and gives a group that finds it."""

    def install(source: str) -> LazyGroup:
        name = f"loomextra_{abs(hash(source))}"
        tmp_path.joinpath(f"{name}.py").write_text(source)
        info = tmp_path / "loomextra-1.0.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: loomextra\nVersion: 1.0\n")
        info.joinpath("entry_points.txt").write_text(f"[{GROUP}]\nextra = {name}:command\nstatus = {name}:command\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        own = {"status": Lazy("netloom.cli.status:status", "Ours.")}
        return LazyGroup("netctl", lazy=own, extra=extra_commands)

    return install


COMMAND = 'import click\n\n@click.command()\ndef command():\n    """Do more."""\n    click.echo("done")\n'


def test_it_runs_by_its_name(group: Install) -> None:
    assert CliRunner().invoke(group(COMMAND), ["extra"]).output == "done\n"


def test_help_names_it_with_its_first_line(group: Install) -> None:
    assert "extra   Do more." in CliRunner().invoke(group(COMMAND), ["--help"]).output


def test_a_name_of_ours_stays_ours(group: Install) -> None:
    made = group(COMMAND)
    command = made.get_command(click.Context(made), "status")
    assert command is not None
    assert command.callback.__module__ == "netloom.cli.status"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise OSError('no disk')", "cannot be loaded: OSError: no disk; mend or uninstall"),
        ("command = 3", "is a int, expected a click command"),
        ("", "has no attribute 'command'"),
    ],
)
def test_one_that_cannot_be_loaded_is_named_and_harms_no_other(group: Install, source: str, words: str) -> None:
    made = group(source)
    with pytest.raises(Unloadable, match=words):
        made.get_command(click.Context(made), "extra")
    assert "(cannot be loaded: call it to see why)" in CliRunner().invoke(made, ["--help"]).output
