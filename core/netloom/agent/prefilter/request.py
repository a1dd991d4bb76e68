"""What is asked of the prefilter over the API. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum

import msgspec

from netloom.model.errors import Invalid, NotFound
from netloom.plan.prefilter import TOLD, Cidr, in_order


class Verb(Enum):
    """What becomes of the set; values are the methods of the API."""

    ADD = "PATCH"
    REPLACE = "PUT"
    REMOVE = "DELETE"


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cidrs: list[str]
    revision: int | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request."""

    verb: Verb
    cidrs: tuple[str, ...]
    """As they were written."""
    revision: int | None
    """The one that the set must have; None when that is no matter."""
    force: bool
    """Whether prefixes may cut the node off."""


def read_change(method: str, raw: bytes) -> Change:
    """Raises Invalid."""
    try:
        body = msgspec.json.decode(raw, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f'the request cannot be read: {error}; expected {{"cidrs": ["192.0.2.0/24", ...]}}') from error
    return Change(verb=Verb(method), cidrs=tuple(body.cidrs), revision=body.revision, force=body.force)


def changed(before: frozenset[Cidr], verb: Verb, named: AbstractSet[Cidr]) -> frozenset[Cidr]:
    """The set afterwards. Raises NotFound for what is to be removed and is not there."""
    match verb:
        case Verb.ADD:
            return before | named
        case Verb.REPLACE:
            return frozenset(named)
        case Verb.REMOVE:
            if absent := in_order(named - before):
                more = f" and {len(absent) - TOLD} more" if len(absent) > TOLD else ""
                raise NotFound(
                    f"not in the prefilter: {', '.join(absent[:TOLD])}{more}; nothing was removed, since only what "
                    "`netctl prefilter list` shows can be"
                )
            return before - named
