"""Why there is no session, in words: NOTIFICATIONs, and gobgpd's log, the only place where it says so. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

NOTIFICATIONS: Final = {
    (1, 1): "connection not synchronized",
    (1, 2): "bad message length",
    (1, 3): "bad message type",
    (2, 1): "unsupported BGP version",
    (2, 2): "wrong AS number",
    (2, 3): "bad BGP identifier",
    (2, 4): "unsupported optional parameter",
    (2, 6): "unacceptable hold time",
    (2, 7): "unsupported capability",
    (6, 1): "too many prefixes",
    (6, 2): "administrative shutdown",
    (6, 3): "peer was taken out of the configuration",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other change of the configuration",
    (6, 7): "collision of connections",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
    (6, 10): "BFD down",
}
"""By code and subcode (RFC 4271, 4486, 8538, 9384)."""
CODES: Final = {
    1: "error in a message header",
    2: "error in an OPEN message",
    3: "error in an UPDATE message",
    4: "hold time expired",
    5: "finite state machine error",
    6: "cease",
}
_REASONS: Final = {
    "read-failed": "the connection was lost",
    "write-failed": "the connection was lost",
    "hold-timer-expired": "nothing was heard for the hold time",
    "graceful-restart": "the peer restarts; its routes stay",
    "restart-timer-expired": "the peer did not come back in its restart time; its routes are gone",
    "admin-down": "ended by this node",
}
COLLISION: Final = (6, 7)
"""Two connections met and one had to go: no reason why there is no session."""
_WITH_TEXT: Final = frozenset({(6, 2), (6, 4)})
WORDLESS: Final = "the peer takes connections and ends them without a word: does it expect this node?"
"""The weakest of reasons: routers do so as well after they have said why."""
MAX_TOLD_BYTES: Final = 128
"""Of what a peer may say in its own words (RFC 9003)."""
_SENT_TEXT: Final = re.compile(r"as number mismatch expected (\d+), received (\d+)", re.IGNORECASE)


class Said(NamedTuple):
    """What a line of the log says of a peer."""

    peer: str
    text: str


def notification(code: int, subcode: int) -> str:
    """A NOTIFICATION in words, numbers behind."""
    words = NOTIFICATIONS.get((code, subcode)) or CODES.get(code, "unknown error")
    return f"{words} (NOTIFICATION {code}/{subcode})"


def notification_told(whose: str, code: int, subcode: int, data: bytes = b"") -> str:
    """Who ended the session, and why; ``data`` is what follows the numbers. "" for what says nothing of trouble."""
    if (code, subcode) == COLLISION:
        return ""
    size = data[0] if (code, subcode) in _WITH_TEXT and data else 0
    return _ended(whose, code, subcode, data[1 : 1 + size].decode(errors="replace"))


def said(line: str) -> Said | None:
    """What the line says of why there is no session; None when it says nothing of that."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("Key"), str):
        return None
    text = _text(str(entry.get("msg", "")), entry)
    return Said(entry["Key"], text) if text else None


def _text(message: str, entry: dict[str, Any]) -> str:
    if message in ("received notification", "sent notification"):
        whose = "peer" if message.startswith("received") else "this node"
        if not isinstance(entry.get("Code"), int):
            return _unnumbered(whose, str(entry.get("Data", "")))
        numbers = entry["Code"], int(entry.get("Subcode", 0))
        return "" if numbers == COLLISION else _ended(whose, *numbers, str(entry.get("Communicated-Reason") or ""))
    if message == "prefix limit reached" and "Pct" not in entry:
        return f"more {entry.get('Family')} prefixes than max_prefixes allows; tried again after max_prefixes_retry_s"
    if message == "Peer Down":
        return _REASONS.get(str(entry.get("Reason", "")), "")
    return ""


def _ended(whose: str, code: int, subcode: int, told: str) -> str:
    """``told``: in the peer's own words, of which nothing may break a line."""
    quoted = "".join(one if one.isprintable() else "?" for one in told[:MAX_TOLD_BYTES])
    return f"{whose} ended the session: {notification(code, subcode)}" + (f', "{quoted}"' if quoted else "")


def _unnumbered(whose: str, data: str) -> str:
    if found := _SENT_TEXT.search(data):
        return f"peer has AS number {found[2]}, expected {found[1]}"
    return f"{whose} ended the session: {data[:200]}" if data else ""
