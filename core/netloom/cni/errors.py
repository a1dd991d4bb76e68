"""Errors as the CNI specification has them: a number, a sentence, and what led to it. Pure."""

from __future__ import annotations

import json
from enum import IntEnum


class Code(IntEnum):
    """Numbers of the CNI specification 1.1, section "Error"; from 100 on they are the plugin's own."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    """The network config asks for something this plugin does not do."""
    CONTAINER_UNKNOWN = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    CANNOT_DECODE = 6
    INVALID_CONFIG = 7
    TRY_AGAIN_LATER = 11
    NOT_AVAILABLE = 50
    """Answer to STATUS: an ADD could not be served now."""
    AGENT_FAILED = 100
    CONFLICT = 101
    """The container is attached already, or something else has the interface's name or an address asked for."""
    EXHAUSTED = 102
    """No address, or no room, is left on the node."""
    CHANGED = 103
    """Answer to CHECK: the attachment is not as ADD left it."""
    GARBAGE_LEFT = 104
    """Answer to GC: something that nobody needs could not be removed."""


class CniError(Exception):
    """A failed call; becomes the error object on standard output."""

    def __init__(self, code: Code, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


def render_error(error: CniError, version: str) -> bytes:
    """The error object as it is printed; ``version`` is the config's ``cniVersion``."""
    view = {"cniVersion": version, "code": int(error.code), "msg": error.message, "details": error.details}
    return json.dumps(view).encode() + b"\n"
