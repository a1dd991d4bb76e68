"""What each rule of a policy holds for, and what it wants done to a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from netloom.model.errors import Invalid
from netloom_l7_http.edits import Action, Edit
from netloom_l7_http.patterns import may_begin, whole
from netloom_l7_http.request import METHODS, HttpRequest
from netloom_l7_http.schema import HeaderMatch, Rule

NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:(?::[ \t]*| +)(.+))?")
VALUE: Final = re.compile(r"[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?")
FIXED: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"upgrade", "expect", "http2-settings"}
)
"""Headers that say where a request ends, or whose it is."""

Holds = Callable[[HttpRequest], bool]


def matcher(rule: Rule) -> Holds:
    """Whether a rule holds for a request. Raises Invalid for one that could never hold."""
    methods, conditions = _methods(rule.method), tuple(_conditions(rule))
    if not conditions:
        return lambda request: request.method in methods
    if len(conditions) == 1:
        (only,) = conditions
        return lambda request: request.method in methods and only(request)
    return lambda request: request.method in methods and all(holds(request) for holds in conditions)


def edits_of(rules: tuple[Any, ...], request: HttpRequest) -> list[Edit]:
    """What rules that hold for a request want done to it, in turn and once."""
    found: dict[Edit, None] = {}
    for rule in rules:
        for match in rule.headerMatches:
            if match.mismatch and not _fits(match.name, match.value)(request):
                found[Edit(Action(match.mismatch), match.name, match.value)] = None
    return list(found)


def _conditions(rule: Rule) -> Iterator[Holds]:
    if rule.path:
        yield _path(rule.path)
    if rule.host:
        yield _host(rule.host)
    for text in rule.headers:
        yield _header(text)
    for match in rule.headerMatches:
        _refuse_senseless(match)
        if not match.mismatch:
            yield _fits(match.name, match.value)


def _methods(pattern: str) -> frozenset[str]:
    """A tunnel is no request like others: who allows one says so."""
    holds = whole(pattern) if pattern else "CONNECT".__ne__
    methods = frozenset(filter(holds, METHODS))
    if not methods:
        raise Invalid(f'found method "{pattern}", which is no method of HTTP; they are in capitals, as GET or POST')
    return methods


def _path(pattern: str) -> Holds:
    holds = whole(pattern)
    if not (holds("*") or holds("") or may_begin(pattern, "/")):
        raise Invalid(
            f'found path "{pattern}", which no path matches; it is matched as a whole, and paths begin with /'
        )
    return lambda request: holds(request.path)


def _host(pattern: str) -> Holds:
    holds = whole(pattern, ignore_case=True)
    return lambda request: holds(request.host)


def _header(text: str) -> Holds:
    found = HEADER.fullmatch(text.strip())
    if found is None:
        raise Invalid(f'found header "{text}", expected "Name: value", or "Name" for one of any value')
    return _fits(found[1], found[2] or "")


def _fits(name: str, value: str) -> Holds:
    normal = name.lower().replace("_", "-")
    if value:
        return lambda request: request.headers.get(normal) == value
    return lambda request: normal in request.headers


def _refuse_senseless(match: HeaderMatch) -> None:
    if NAME.fullmatch(match.name) is None:
        raise Invalid(f'found header name "{match.name}", expected a name as X-Token')
    if match.value and VALUE.fullmatch(match.value) is None:
        raise Invalid(f'found a value of header "{match.name}" that no header can have')
    changes = match.mismatch in {"ADD", "DELETE", "REPLACE"}
    if changes and not match.value:
        raise Invalid(f'found mismatch {match.mismatch} for header "{match.name}" without a value, expected the value')
    if changes and match.name.lower().replace("_", "-") in FIXED:
        raise Invalid(f'found mismatch {match.mismatch} for header "{match.name}", which nobody may change on the way')
