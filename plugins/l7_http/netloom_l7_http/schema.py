"""The form of rules, as policies give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from netloom.plugins import Doc, Length


@dataclass(frozen=True, kw_only=True)
class HeaderMatch:
    """One header of ``headerMatches``."""

    name: Annotated[str, Length(1, 256), Doc("The header's name.")]
    value: Annotated[str, Length(0, 4096), Doc("Its value, word for word; left out, it may be any.")] = ""
    mismatch: Annotated[
        Literal["", "LOG", "ADD", "DELETE", "REPLACE"],
        Doc(
            "What is done where the header is not so: `LOG` tells of it, `ADD` adds the header, `DELETE` takes it away "
            "where it has another value, `REPLACE` puts this one in place of all others; left out, the rule does not "
            "hold."
        ),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of ``http``; what is left out may be anything."""

    method: Annotated[str, Doc("Regular expression of the whole method.")] = ""
    path: Annotated[str, Doc("Regular expression of the whole path in its normal form, with the query.")] = ""
    host: Annotated[str, Doc("Regular expression of the whole host, with the port where the client names one.")] = ""
    headers: Annotated[tuple[str, ...], Length(0, 64), Doc("`Name: value` word for word, or `Name` alone.")] = ()
    headerMatches: Annotated[  # noqa: N815 - Cilium's policies spell it so
        tuple[HeaderMatch, ...], Length(0, 64), Doc("Headers, and what is done where they are not so.")
    ] = ()
