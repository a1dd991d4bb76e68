"""The agent's HTTP API as seen from the command line: JSON over a unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from netloom.cli.errors import AgentAway, RequestFailed
from netloom.model.errors import ConfigError, NetloomError, Problem

TIMEOUT_S = 10.0
"""For an answer; a stream may be silent for as long as it likes."""
Query = Sequence[tuple[str, str]]
MAX_LINE_BYTES = 1 << 20
"""Of one event in a stream."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("netloom", timeout=timeout_s)
        self._path, self._timeout_s = path, timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(str(self._path))


class Client:
    """One agent. Every method raises AgentAway or RequestFailed, or ConfigError where the agent was given files."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path

    def get(self, *path: str | int, query: Query = (), timeout_s: float | None = None) -> Any:
        """``GET /v1/<path>?<query>``, decoded."""
        return self._call("GET", path, query=query, timeout_s=timeout_s)

    def send(self, method: str, body: Any, *path: str | int, timeout_s: float | None = None) -> Any:
        """Another method on ``/v1/<path>`` with a JSON body, decoded; the answer may take as long as said."""
        return self._call(method, path, json.dumps(body), timeout_s=timeout_s)

    def delete(self, *path: str | int, query: Query = ()) -> Any:
        """``DELETE /v1/<path>?<query>``, decoded."""
        return self._call("DELETE", path, query=query)

    def post(self, body: Any, *path: str | int) -> Any:
        """``POST /v1/<path>`` with a JSON body, decoded."""
        return self._call("POST", path, json.dumps(body))

    @contextmanager
    def stream(
        self, path: str, query: Sequence[tuple[str, str]], *, endless: bool = True
    ) -> Iterator[Iterator[dict[str, Any]]]:
        """Objects of an ndjson stream as they come; the agent has begun it when the block begins.

        The iterator of an endless one ends by raising AgentAway when the agent stops.
        """
        with ExitStack() as stack:
            with self._translated():
                request = self._request("GET", f"/v1/{path}?{urlencode(query)}")
                connection, response = stack.enter_context(request)
            connection.sock.settimeout(None)
            yield self._objects(response, endless=endless)

    def _objects(self, response: http.client.HTTPResponse, *, endless: bool) -> Iterator[dict[str, Any]]:
        with self._translated():
            while line := response.readline(MAX_LINE_BYTES):
                yield json.loads(line)
        if endless:
            raise AgentAway(f"the agent at {self.socket_path} has stopped")

    def _call(
        self,
        method: str,
        path: tuple[str | int, ...],
        body: str | None = None,
        *,
        query: Query = (),
        timeout_s: float | None = None,
    ) -> Any:
        timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
        target = "/v1/" + "/".join(quote(str(part), safe="") for part in path)
        target += f"?{urlencode(query)}" if query else ""
        with self._translated(timeout_s), self._request(method, target, body, timeout_s) as (_, response):
            return json.loads(response.read())

    @contextmanager
    def _request(
        self, method: str, target: str, body: str | None = None, timeout_s: float | None = None
    ) -> Iterator[tuple[http.client.HTTPConnection, http.client.HTTPResponse]]:
        connection = _UnixConnection(self.socket_path, TIMEOUT_S if timeout_s is None else timeout_s)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            if response.status >= 400:
                raise _failure(response.status, response.read())
            yield connection, response
        finally:
            connection.close()

    @contextmanager
    def _translated(self, timeout_s: float | None = None) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise AgentAway(
                f"the agent at {self.socket_path} has not answered within {timeout_s or TIMEOUT_S:g} s"
            ) from error
        except OSError as error:
            raise AgentAway(self._why(error)) from error
        except (http.client.HTTPException, ValueError) as error:
            raise AgentAway(f"the agent at {self.socket_path} ended its answer half-way; see its log") from error

    def _why(self, error: OSError) -> str:
        path = self.socket_path
        match error:
            case FileNotFoundError() | ConnectionRefusedError():
                return f"no agent listens at {path}: start netloom-agent on this node, or see its log"
            case PermissionError():
                return f"{path} may not be used by this user: run netctl as root, or join the socket's group"
            case _:
                return f"the agent at {path} cannot be reached: {error.strerror or error}"


def _failure(status: int, body: bytes) -> NetloomError:
    try:
        error = json.loads(body)["error"]
        if problems := error.get("problems"):
            return ConfigError(tuple(Problem(**problem) for problem in problems))
        return RequestFailed(error["kind"], error["message"])
    except (ValueError, TypeError, KeyError):
        return RequestFailed("internal", f"the agent answered with status {status} and no sentence; see its log")
