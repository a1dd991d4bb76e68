"""``netloom-cni``: the program a container runtime runs to attach and detach a container.

Speaks the Container Network Interface specification, versions 0.3.1 to 1.1.0: the call comes in environment
variables and a network config on standard input, the answer or the error goes to standard output as JSON. All work
and all judgement is the agent's; this program carries the call there, and knows what to do when nobody answers.

Where a compiled relay is installed (``relay.c``) it runs in this program's place, and runs this program only when
something is out of the ordinary. Standard library only, and as little of it as will do.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from netloom.cni.agent import AgentAway, call, find_socket
from netloom.cni.errors import CniError, Code, render_error
from netloom.cni.frame import MAX_CONFIG_BYTES, pack
from netloom.cni.pending import directory_of, remember
from netloom.cni.request import Request, parse, version_of
from netloom.cni.result import versions

HUNG = "hung"
"""Second argument: the relay has waited for the agent in vain, and nobody need wait again."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Handle one call; returns the exit status.

    ``arguments`` (else those of the command line): the socket of the agent meant, if the config names none, and
    ``hung``.
    """
    socket, *rest = (*(sys.argv[1:] if arguments is None else arguments), "")
    stdin = sys.stdin.buffer.read(MAX_CONFIG_BYTES + 1) if sys.stdin else b""
    try:
        status, output = _answer(stdin, socket, hung=HUNG in rest)
    except CniError as error:
        status, output = 1, render_error(error, version_of(stdin))
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()
    return status


def _answer(stdin: bytes, socket: str, *, hung: bool) -> tuple[int, bytes]:
    request = parse(os.environ, stdin)
    if request.command == "VERSION":
        return 0, json.dumps(versions(request)).encode() + b"\n"
    path = request.socket or socket
    try:
        path = find_socket(path)
        return call(path, pack(os.environ, stdin), give_up=hung)
    except AgentAway as away:
        return without_agent(request, path, away), b""


def without_agent(request: Request, socket: str, away: AgentAway) -> int:
    """Exit status of a call that no agent takes: 0 for a DEL that is remembered; raises CniError for all else."""
    if request.command == "DEL" and socket:
        remember(directory_of(socket), request)
        return 0
    code = Code.NOT_AVAILABLE if request.command == "STATUS" else Code.TRY_AGAIN_LATER
    raise CniError(code, away.message, away.hint)
