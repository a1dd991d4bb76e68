"""What commands of plugins are made of. A plugin imports nothing else of ``netloom.cli``.

Such a command is found through the entry-point group ``netloom.cli`` and stands under ``netctl`` like our own.
"""

from netloom.cli.client import Client
from netloom.cli.commands import Command, Group
from netloom.cli.errors import RequestFailed
from netloom.cli.options import completing, output_option, with_agent
from netloom.cli.output import pairs, printable, show, table
from netloom.model.errors import NetloomError

__all__ = [
    "Client",
    "Command",
    "Group",
    "NetloomError",
    "RequestFailed",
    "completing",
    "output_option",
    "pairs",
    "printable",
    "show",
    "table",
    "with_agent",
]
