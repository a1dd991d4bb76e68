"""What commands of other distributions are made of: all they may import from ``netctl``.

    @click.group(cls=Group)
    def bgp() -> None:
        '''Show what the BGP plugin does.'''

    @bgp.command(examples=("netctl bgp peers",))
    @output_option
    @with_agent
    def peers(client: Client, /, form: str) -> None:
        '''List the peers.'''
        show(client.get("plugins", "bgp", "peers"), form, render)

An entry point of the group ``netloom.cli`` makes it ``netctl bgp``.
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
