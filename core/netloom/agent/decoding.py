"""JSON that others wrote, read into the shape it must have. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from netloom.model.errors import Invalid

S = TypeVar("S")


def decoded(raw: bytes, shape: type[S], what: str) -> S:
    """Raises Invalid, which names ``what`` and what is wrong with it."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{what} cannot be read: {error}") from error
