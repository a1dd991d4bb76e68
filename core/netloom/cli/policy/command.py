"""The group of commands."""

from __future__ import annotations

import click

from netloom.cli.commands import Group
from netloom.cli.policy.change import delete, import_
from netloom.cli.policy.everybody import matrix, what_if
from netloom.cli.policy.show import get, list_, selectors, wait
from netloom.cli.policy.trace import trace
from netloom.cli.policy.validate import validate


@click.group(cls=Group)
def policy() -> None:
    """Import network policies, ask what they do."""


for command in (validate, import_, delete, get, list_, selectors, wait, trace, what_if, matrix):
    policy.add_command(command)
