r"""A CNI call on its way to the agent: what a runtime put into environment and standard input, as one body.

``NAME=value\0`` for each variable, one more ``\0``, then standard input as it came. No byte of a variable can be
zero, so nothing needs escaping, and a program in C writes it without an encoder. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from netloom.cni.errors import CniError, Code

CONTENT_TYPE = "application/x-netloom-cni"
TARGET = "/v1/cni"
EXIT_STATUS_HEADER = "Netloom-Exit-Status"
"""Of the answer: how the program must end after it has printed the body."""
DEADLINE_HEADER = "Netloom-Deadline-Ms"
"""Of the call: when the answer must be there, in milliseconds of CLOCK_MONOTONIC, which a machine's programs share.
Whoever asks for an attachment and has gone meanwhile does not know that he got it."""
PATIENCE = 0.9
"""How much of the time until a program gives up the agent may use: an answer must not come while it is giving up."""
PREFIX = "CNI_"
"""Variables that begin so are the runtime's words to us."""
MAX_CONFIG_BYTES = 1 << 20
"""Of standard input."""
MAX_ENVIRONMENT_BYTES = 64 << 10
"""Of all variables together, half of what Linux lets one variable have (MAX_ARG_STRLEN)."""
MAX_FRAME_BYTES = MAX_ENVIRONMENT_BYTES + 1 + MAX_CONFIG_BYTES


def pack(environment: Mapping[str, str], stdin: bytes) -> bytes:
    """The body; variables that are not CNI's stay behind. Raises CniError when they are too long."""
    named = (f"{name}={value}\0" for name, value in environment.items() if name.startswith(PREFIX))
    variables = "".join(named).encode(errors="surrogateescape")
    if len(variables) > MAX_ENVIRONMENT_BYTES:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"the {PREFIX} variables have {len(variables)} bytes, expected at most {MAX_ENVIRONMENT_BYTES}",
        )
    return variables + b"\0" + stdin


def unpack(frame: bytes) -> tuple[dict[str, str], bytes]:
    """Inverse of :func:`pack`; bytes that are no UTF-8 become lone surrogates. Raises CniError."""
    if frame[:1] == b"\0":
        return {}, frame[1:]
    head, end, stdin = frame.partition(b"\0\0")
    if not end or len(head) > MAX_ENVIRONMENT_BYTES:
        raise CniError(Code.IO_FAILURE, "the call's environment does not end, expected an empty variable after it")
    environment = {}
    for variable in head.split(b"\0"):
        name, equals, value = variable.decode(errors="surrogateescape").partition("=")
        if not equals or not name.startswith(PREFIX):
            raise CniError(Code.IO_FAILURE, f'"{name[:40]}" in the call is no {PREFIX} variable')
        environment[name] = value
    return environment, stdin
