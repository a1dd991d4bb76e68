"""Rules about requests, obeyed by what people use: curl, nghttp2's tools, gRPC, WebSockets and wrk."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from netloom.lab.inside import argv_in
from netloom.model.address import Address
from support import served
from support.cluster import WITHIN_S, Cluster, PodView
from support.given import Given
from support.grpc_jobs import PIECE, PIECES
from support.judged import FAR, NEAR, SERVER
from support.requests import PORT, serving
from support.served import ANY_HTTP_PORT, GRPC_PORT, HTTP2_PORT, MESSAGE_BYTES_MAX, TESTS, WEBSOCKET_PORT

pytestmark = pytest.mark.e2e

SERVED: Final = (PORT, HTTP2_PORT, ANY_HTTP_PORT, GRPC_PORT, WEBSOCKET_PORT)
PORTS: Final = ", ".join(f'{{port: "{port}", protocol: TCP}}' for port in SERVED)
POLICY: Final = f"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: clients}}
spec:
  endpointSelector: {{matchLabels: {{app: {SERVER}}}}}
  ingress:
  - toPorts:
    - ports: [{PORTS}]
      rules:
        http:
        - {{method: GET|POST, path: "/jobs(/[0-9]+)?"}}
        - {{method: POST, path: "/jobs.Jobs/.*"}}
        - {{method: GET, path: /talk}}
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """A client's pod, and how the server is called there."""

    pod: PodView
    server: Address

    def netloc(self, port: int) -> str:
        return f"[{self.server}]:{port}" if self.server.version == 6 else f"{self.server}:{port}"

    def url(self, port: int, path: str, scheme: str = "http") -> str:
        return f"{scheme}://{self.netloc(port)}{path}"

    def connect(self, port: int) -> socket.socket:
        family = socket.AF_INET6 if self.server.version == 6 else socket.AF_INET
        made = self.pod.open_socket(family, socket.SOCK_STREAM)
        made.connect((str(self.server), port))
        return made


def ways(*found: tuple[str, int]) -> pytest.MarkDecorator:
    """By which pods, and by which version of IP."""
    return pytest.mark.parametrize(
        "caller", found, indirect=True, ids=[f"{client}, IPv{version}" for client, version in found], scope="module"
    )


WAYS: Final = ways((NEAR, 4), (FAR, 6), (NEAR, 6), (FAR, 4))
TWO_WAYS: Final = ways((NEAR, 6), (FAR, 4))


@pytest.fixture(scope="module")
def lab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One pod serves everything, by rules."""
    server, policies = cluster.pod(SERVER), Given(cluster, tmp_path_factory.mktemp("policies"))
    with (
        serving(server),
        served.http2(server, tmp_path_factory.mktemp("files")),
        served.grpc(server),
        served.echo(server),
    ):
        policies.put(POLICY)
        yield cluster
        policies.delete("--all")


@pytest.fixture(scope="module")
def caller(lab: Cluster, request: pytest.FixtureRequest) -> Caller:
    client, version = request.param
    return Caller(lab.pod(client), lab.pod(SERVER).address(version))


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three times as long as a window of HTTP/2."""
    found = tmp_path_factory.mktemp("bodies") / "body"
    found.write_bytes(b"x" * 200_000)
    return found


# --- curl -------------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize(
    ("option", "port", "spoken"),
    [
        ("--http1.1", PORT, "1.1"),
        ("--http1.1", ANY_HTTP_PORT, "1.1"),
        ("--http2", PORT, "1.1"),
        ("--http2", ANY_HTTP_PORT, "2"),
    ],
)
def test_curl_is_denied_and_goes_on_with_its_connection(caller: Caller, option: str, port: int, spoken: str) -> None:
    """With ``--http2`` it offers to go on with HTTP/2, and does where the server agrees."""
    said = ("-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version} %{num_connects}\n", option)
    allowed, denied = caller.url(port, "/jobs/1"), caller.url(port, "/jobs/x")
    found = caller.pod.run("curl", *said, allowed, "--next", *said, denied, "--next", *said, allowed)
    assert found.splitlines() == [f"200 {spoken} 1", f"403 {spoken} 0", f"200 {spoken} 0"]


@TWO_WAYS
@pytest.mark.parametrize(("path", "status"), [("/jobs/1", 200), ("/pay", 403)])
def test_curl_that_knows_the_server_speaks_http_2(caller: Caller, path: str, status: int) -> None:
    """One request each: Debian 12's curl makes no second one of this kind, whoever serves."""
    said = ("-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--http2-prior-knowledge")
    assert caller.pod.run("curl", *said, caller.url(HTTP2_PORT, path)) == f"{status} 2"


@TWO_WAYS
def test_curl_that_is_denied_at_first_upgrades_later(caller: Caller) -> None:
    said = ("-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version} %{num_connects}\n", "--http2")
    allowed, denied = caller.url(ANY_HTTP_PORT, "/jobs/1"), caller.url(ANY_HTTP_PORT, "/pay")
    found = caller.pod.run("curl", *said, denied, "--next", *said, allowed, "--next", *said, denied)
    assert found.splitlines() == ["403 1.1 1", "200 2 0", "403 2 0"]


@TWO_WAYS
@pytest.mark.parametrize(
    ("option", "port"),
    [("--http1.1", PORT), ("--http2", ANY_HTTP_PORT), ("--http2-prior-knowledge", HTTP2_PORT)],
)
def test_curl_hears_that_it_is_denied_in_the_midst_of_a_body(
    caller: Caller, body: Path, option: str, port: int
) -> None:
    said = ("-s", "-o", "/dev/null", "-w", "%{http_code}", option, "--data-binary", f"@{body}")
    assert caller.pod.run("curl", *said, caller.url(port, "/pay")) == "403"


# --- HTTP/2 -----------------------------------------------------------------------------------------


def statuses(said: str) -> list[int]:
    """Of the requests that nghttp tells of, in the order of their streams."""
    return [
        int(row[1]) for row in sorted(re.findall(r"^ +(\d+) .* (\d{3}) +\S+ /\S*$", said, re.MULTILINE), key=_stream)
    ]


def _stream(row: tuple[str, str]) -> int:
    return int(row[0])


@WAYS
@pytest.mark.parametrize(("options", "port"), [("-ns", HTTP2_PORT), ("-nsu", ANY_HTTP_PORT)], ids=["known", "offered"])
def test_nghttp_is_denied_in_the_midst_of_many_streams(caller: Caller, options: str, port: int) -> None:
    urls = [caller.url(port, path) for path in ("/jobs/1", "/pay", "/jobs/2", "/jobs/x", "/jobs/1?x")]
    said = caller.pod.run("nghttp", options, *urls)
    assert statuses(said) == [200, 403, 200, 403, 403]


@TWO_WAYS
def test_nghttp_that_is_denied_its_offer_does_not_upgrade(caller: Caller) -> None:
    said = caller.pod.attempt("nghttp", "-nvu", caller.url(ANY_HTTP_PORT, "/pay"))
    assert "HTTP/1.1 403 Forbidden" in said.stdout
    assert "Upgrade success" not in said.stdout


def load(caller: Caller, port: int, *options: str) -> dict[str, int]:
    """What became of requests of h2load, by its own words; the first of two is denied.

    Debian 12's writes addresses of IPv6 without brackets, which is no authority.
    """
    urls = [caller.url(port, path) for path in ("/pay", "/jobs/2")]
    argv = ("h2load", "-H", f":authority: {caller.netloc(port)}", *options, *urls)
    said = caller.pod.run(*argv)
    lines = re.findall(r"^(?:requests|status codes): (.*)$", said, re.MULTILINE)
    return {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", ", ".join(lines))}


@TWO_WAYS
@pytest.mark.parametrize("port", [HTTP2_PORT, ANY_HTTP_PORT])
def test_h2load_is_answered_as_often_as_it_asks(caller: Caller, port: int) -> None:
    """Every other request is denied; each of the others brings a megabyte, sixteen times a window."""
    came = load(caller, port, "-n80", "-c4", "-m10")
    assert (came["done"], came["errored"], came["2xx"], came["4xx"]) == (80, 0, 40, 40)


@TWO_WAYS
@pytest.mark.parametrize("port", [HTTP2_PORT, ANY_HTTP_PORT])
def test_bodies_of_h2load_that_are_denied_cost_no_window(caller: Caller, body: Path, port: int) -> None:
    """The server sends back those that come."""
    came = load(caller, port, "-n80", "-c4", "-m10", f"-d{body}")
    assert (came["done"], came["errored"], came["2xx"], came["4xx"]) == (80, 0, 40, 40)


# --- gRPC -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def called(caller: Caller) -> dict[str, Any]:
    """What came of each call of a client."""
    call = (sys.executable, "-m", "support.grpc_jobs", "call", caller.netloc(GRPC_PORT))
    argv = argv_in(caller.pod.netns, call)
    said = subprocess.run(argv, cwd=TESTS, capture_output=True, text=True, timeout=60, check=False)
    assert not said.returncode, said.stderr
    return dict(json.loads(line) for line in said.stdout.splitlines())


DENIED: Final = "PERMISSION_DENIED: Access denied"


@TWO_WAYS
@pytest.mark.parametrize(
    ("call", "came"),
    [
        ("unary", "b'cba'"),
        ("large", True),
        ("server_streaming", True),
        ("client_streaming", PIECES * len(PIECE)),
        ("both_streaming", True),
        ("deadline", "DEADLINE_EXCEEDED: Deadline Exceeded"),
        ("cancellation", ["CANCELLED: Locally cancelled by application!", "b'yes'"]),
        ("denied_unary", DENIED),
        ("denied_server_streaming", DENIED),
        ("denied_client_streaming", DENIED),
        ("denied_both_streaming", DENIED),
        ("many", [200, 200]),
    ],
)
def test_calls_of_grpc(called: dict[str, Any], call: str, came: object) -> None:
    assert called[call] == came


# --- WebSockets -------------------------------------------------------------------------------------


def talks(caller: Caller, path: str = "/talk") -> ClientConnection:
    target = caller.url(WEBSOCKET_PORT, path, "ws")
    return connect_websocket(target, sock=caller.connect(WEBSOCKET_PORT), max_size=MESSAGE_BYTES_MAX)


@WAYS
def test_a_websocket_talks_is_pinged_and_closed(caller: Caller) -> None:
    with talks(caller) as connection:
        connection.send("hello")
        assert connection.recv(WITHIN_S) == "hello"
        assert connection.ping().wait(WITHIN_S)
        connection.close(4001, "done")
    assert (connection.close_code, connection.close_reason) == (4001, "done")


@TWO_WAYS
def test_a_websocket_brings_messages_larger_than_any_buffer(caller: Caller) -> None:
    message = bytes(range(256)) * (MESSAGE_BYTES_MAX >> 8)
    with talks(caller) as connection:
        connection.send(message)
        assert connection.recv(WITHIN_S) == message


@TWO_WAYS
def test_a_denied_websocket_is_not_opened(caller: Caller) -> None:
    with pytest.raises(InvalidStatus) as refused:
        talks(caller, "/pay")
    assert refused.value.response.status_code == 403


# --- wrk --------------------------------------------------------------------------------------------

EVERY_OTHER: Final = """
local asked = 0
request = function()
  asked = asked + 1
  return wrk.format("GET", asked % 2 == 0 and "/jobs/1" or "/pay")
end
"""


@ways((FAR, 6))
def test_wrk_is_denied_every_other_request_and_loses_none(caller: Caller, tmp_path: Path) -> None:
    script = tmp_path / "every-other.lua"
    script.write_text(EVERY_OTHER)
    argv = ("wrk", "-t1", "-c8", "-d1s", "-s", str(script), caller.url(ANY_HTTP_PORT, "/"))
    said = caller.pod.run(*argv)
    assert "Socket errors" not in said
    asked, denied = (int(re.findall(what, said)[0]) for what in (r"(\d+) requests in", r"responses: (\d+)"))
    assert abs(asked - 2 * denied) <= 8
