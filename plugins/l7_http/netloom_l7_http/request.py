"""What rules see of a request, whichever version of HTTP it came by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from netloom.plugins import Untold

WORD_BYTES_MAX: Final = 1000
"""Of one value that the access log tells."""
STANDARD: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY"})
WEBDAV: Final = frozenset(
    {"ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE"}
    | {"PROPFIND", "PROPPATCH", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNLINK", "UNLOCK"}
)
METHODS: Final = STANDARD | WEBDAV | {"M-SEARCH", "NOTIFY", "PURGE", "SUBSCRIBE", "UNSUBSCRIBE"}
"""Requests with another one are refused."""
BODILESS: Final = frozenset({"GET", "HEAD", "TRACE", "CONNECT"})
"""Servers that expect no body of these take one for the next request, which nobody has judged."""


class Refused(Exception):
    """What a client sent has no one meaning, or is no HTTP: says what it is. ``status`` is the answer."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class HttpRequest(NamedTuple):
    """A request in its normal form, which docs/l7-http.md describes; a tuple, since there is one for every request."""

    method: str
    path: str
    """With the query, ``?`` before it; ``*`` of a server as a whole, "" of CONNECT."""
    host: str
    """In lower case, with the port where the client named one; "" where it named none."""
    headers: Mapping[str, str]
    """By name in lower case with hyphens; values of a header that comes several times are joined by a comma."""
    told: Mapping[str, str]
    """What the access log says of it."""


def make(method: str, path: str, host: str, headers: Mapping[str, str]) -> HttpRequest:
    """A request that is told of by its first three."""
    told = {"method": method, "path": path[:WORD_BYTES_MAX], "host": host[:WORD_BYTES_MAX]}
    return HttpRequest(method=method, path=path, host=host, headers=headers, told=told)


class _Untold(Mapping[str, str]):
    """Headers that nobody has kept."""

    def __getitem__(self, name: str) -> str:
        raise Untold(f"the header {name} was not told")

    def __iter__(self) -> Iterator[str]:
        raise Untold("headers were not told")

    def __len__(self) -> int:
        raise Untold("headers were not told")


def recall(told: Mapping[str, str]) -> HttpRequest:
    """The request that the access log has told of, without its headers. Raises Untold for one that was cut short."""
    if any(len(word) >= WORD_BYTES_MAX for word in told.values()):
        raise Untold("the request was not told to its end")
    return make(told.get("method", ""), told.get("path", ""), told.get("host", ""), _Untold())


def describe(request: HttpRequest) -> Mapping[str, str]:
    """For the access log."""
    return request.told
