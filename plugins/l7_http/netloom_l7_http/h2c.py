"""Offers to go on with HTTP/2 (RFC 7540, 3.2), as far as they are beyond doubt. Pure."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Final

from netloom.plugins.l7.turns import Unspoken
from netloom_l7_http.frames import table_bytes_of

NAMES: Final = re.compile(rb"\r\n(connection|upgrade|http2[-_]settings):", re.IGNORECASE)
WANTED: Final = [b"connection", b"http2-settings", b"upgrade"]
WORDS: Final = frozenset({"upgrade", "http2-settings"})
SETTINGS: Final = re.compile(r"(?:[A-Za-z0-9_-]{8})*")
"""Six bytes each."""


def offered(head: bytes, connection: frozenset[str], fields: Mapping[str, str]) -> bytes | None:
    """The payload of the client's SETTINGS, where ``head`` makes an offer just as the RFC wants it; else None.

    ``connection`` are the words of its Connection, ``fields`` its headers by normal name.
    """
    if sorted(name.lower() for name in NAMES.findall(head)) != WANTED or connection != WORDS:
        return None
    settings = fields["http2-settings"]
    if fields["upgrade"] != "h2c" or SETTINGS.fullmatch(settings) is None:
        return None
    payload = urlsafe_b64decode(settings)
    try:
        table_bytes_of(payload)
    except Unspoken:
        return None
    return payload
