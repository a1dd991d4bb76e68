"""Requests that nobody has sent, judged by the tables at work: for traces of policies, and for packet walks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from netloom.model.errors import Invalid, NotFound, Unavailable
from netloom.plugins.protocols import L7Protocol
from netloom.policy.l7_trace import RequestTrace, Said, Sides, trace_requests

PARSER_TIMEOUT_S: Final = 5.0


def said_in(parsers: Mapping[str, L7Protocol], protocol: str, data: bytes) -> Said:
    """What a client would say. Raises NotFound for a protocol that no plugin of this node gives."""
    if protocol not in parsers:
        known = ", ".join(sorted(parsers)) or "none"
        raise NotFound(f'no plugin of this node speaks "{protocol[:60]}"; known: {known}')
    return Said(protocol=parsers[protocol], data=data)


async def judged(sides: Sides, said: Said) -> tuple[RequestTrace, ...]:
    """What becomes of each request. A parser is its plugin's code, so it is given a thread and a time.

    Raises Invalid for what is no request, or is judged as another protocol; Unavailable when it takes too long: its
    thread is left to itself then.
    """
    try:
        async with asyncio.timeout(PARSER_TIMEOUT_S):
            return await asyncio.to_thread(trace_requests, sides, said)
    except TimeoutError:
        raise Unavailable(
            f"the parser of {said.protocol.name} has not read the request in {PARSER_TIMEOUT_S:g} s: its plugin is at "
            "fault"
        ) from None


def bytes_of(text: str) -> bytes:
    """Each character is a byte of its number: JSON has no bytes. Raises Invalid."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise Invalid(f"data has the character {text[error.start]!r}, expected those up to 0xff, one a byte") from None
