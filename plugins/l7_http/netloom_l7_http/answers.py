"""What clients are told by us in place of a server."""

from __future__ import annotations

from typing import Final

from netloom.plugins import Op, OpKind

BODY: Final = b"Access denied\r\n"
REASONS: Final = {
    400: "Bad Request", 403: "Forbidden", 417: "Expectation Failed", 431: "Request Header Fields Too Large"
}  # fmt: skip


def _answer(status: int, body: bytes, *, closes: bool, is_head: bool = False) -> Op:
    lines = (
        f"HTTP/1.1 {status} {REASONS[status]}",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
        *(("Connection: close",) if closes else ()),
    )
    head = "\r\n".join((*lines, "", "")).encode()
    return Op(kind=OpKind.INJECT, data=head if is_head else head + body)


_DENIALS: Final = {
    (closes, is_head): _answer(403, BODY, closes=closes, is_head=is_head)
    for closes in (False, True)
    for is_head in (False, True)
}


def denial(*, closes: bool, is_head: bool) -> Op:
    """To a request that no rule allows; what answers HEAD has no body."""
    return _DENIALS[closes, is_head]


def refusal(status: int) -> Op:
    """To what is no request; nothing follows it."""
    return _answer(status, f"{REASONS[status]}\r\n".encode(), closes=True)
