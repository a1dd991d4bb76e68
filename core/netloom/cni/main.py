"""``netloom-cni``: the program a container runtime runs to attach and detach a container.

Speaks the Container Network Interface specification, versions 0.3.1 to 1.1.0: the call comes in environment
variables and a network config on standard input, the answer or the error goes to standard output as JSON. All work
is the agent's. Standard library only, and as little of it as will do: the program runs for every container.
"""

from __future__ import annotations

import json
import os
import sys

from netloom.cni.commands import run
from netloom.cni.errors import CniError
from netloom.cni.request import MAX_CONFIG_BYTES, parse, version_of


def main() -> int:
    """Handle one call; returns the exit status."""
    stdin = sys.stdin.buffer.read(MAX_CONFIG_BYTES + 1)
    try:
        answer = run(parse(os.environ, stdin))
    except CniError as error:
        print(
            json.dumps(
                {
                    "cniVersion": version_of(stdin),
                    "code": int(error.code),
                    "msg": error.message,
                    "details": error.details,
                }
            )
        )
        return 1
    if answer is not None:
        print(json.dumps(answer))
    return 0
