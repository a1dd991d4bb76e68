"""Errors as the CNI specification has them: a number, a sentence, and what led to it."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Numbers of the CNI specification 1.1, section "Error"; from 100 on they are the plugin's own."""

    INCOMPATIBLE_VERSION = 1
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
    """The container is attached already."""
    EXHAUSTED = 102
    """No address, or no room, is left on the node."""
    CHANGED = 103
    """Answer to CHECK: the attachment is not as ADD left it."""


class CniError(Exception):
    """A failed call; becomes the error object on standard output."""

    def __init__(self, code: Code, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
