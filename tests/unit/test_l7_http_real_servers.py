"""What the parser lets go on is read by nginx and HAProxy as it was judged: as many requests, the same, as long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from support.http_reader import Message, read
from support.http_servers import Account, Server, haproxy, nginx, read_of
from support.http_shapes import SHAPES, mutated
from support.http_talk import Talking

MUTATIONS = 600
SERVERS = pytest.mark.parametrize("server", ["nginx", "haproxy"], indirect=True)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """One process each."""
    directory = tmp_path_factory.mktemp("servers")
    with nginx(directory) as one, haproxy(directory) as other:
        yield {"nginx": one, "haproxy": other}


@pytest.fixture
def server(servers: dict[str, Server], request: pytest.FixtureRequest) -> Server:
    return servers[request.param]


@cache
def went_on(stream: bytes) -> tuple[bytes, list[Message]]:
    """What reaches a server of it: its bytes, and the requests that were judged, which must be those that are in it."""
    talk = Talking().ask(stream)
    messages = read(talk.to_server)
    judged = [read_of(one.request.method.encode(), one.request.path.encode(), 0) for one in talk.judged]
    assert [read_of(one.method, one.target, 0) for one in messages] == judged, stream
    return talk.to_server, messages


def disagreement(messages: list[Message], account: Account) -> str:
    """How a server read something else than was judged; "" where it did not."""
    expected = [read_of(one.method, one.target, one.body_bytes) for one in messages]
    count = len(account.reads)
    if account.reads != expected[:count]:
        return f"read {account.reads}, judged {expected}"
    if any(path not in {one.path, b""} for path, one in zip(account.normal_paths, expected, strict=False)):
        return f"looks for {account.normal_paths}, judged {expected}"
    if count == len(expected) or account.refuses or messages[count - 1].closes:
        return ""
    if not messages[count].is_whole or messages[count].switches:
        return ""
    return f"read {count} of {len(expected)} requests"


def disagreements(server: Server, streams: Iterable[bytes]) -> dict[bytes, str]:
    """By what the server was sent."""
    found = {}
    for sent, messages in dict(map(went_on, streams)).items():
        is_whole = all(one.is_whole and not one.switches for one in messages)
        if why := disagreement(messages, server(sent, is_whole=is_whole)):
            found[sent] = why
    return found


@SERVERS
@pytest.mark.parametrize("kind", SHAPES)
def test_servers_read_what_was_judged(server: Server, kind: str) -> None:
    assert disagreements(server, SHAPES[kind]) == {}


@SERVERS
def test_servers_read_what_was_judged_of_what_nobody_has_thought_of(server: Server) -> None:
    assert disagreements(server, mutated(MUTATIONS, seed=1)) == {}
