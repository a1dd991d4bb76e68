"""Job postings by gRPC: ``python -m support.grpc_jobs serve PORT``, and ``… call TARGET`` for a client's whole day.

The client makes every kind of call over one channel, and prints what came of each as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

import grpc

OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PIECE: Final = bytes(range(256)) * 512
"""Of a stream: twice as many bytes as a window has by default."""
PIECES: Final = 24
LARGE: Final = PIECE * 64
WITHIN_S: Final = 30.0
NAMES: Final = {"Get": "unary_unary", "List": "unary_stream", "Post": "stream_unary", "Talk": "stream_stream"}
"""Methods, and the same of a service that no rule allows."""


class Service:
    """What the methods do."""

    def __init__(self) -> None:
        self._ended = threading.Semaphore(0)

    def get(self, request: bytes, context: Any) -> bytes:
        """The request backwards; ``wait`` waits for its end, ``ended`` for that of a list without one."""
        if request == b"wait":
            ended = threading.Event()
            context.add_callback(ended.set)
            ended.wait(WITHIN_S)
        if request == b"ended":
            return b"yes" if self._ended.acquire(timeout=WITHIN_S) else b"no"
        return request[::-1]

    def list(self, request: bytes, context: Any) -> Iterator[bytes]:
        """So many pieces; without a number, without an end."""
        count = int(request or 0)
        if not count:
            context.add_callback(self._ended.release)
        for _ in range(count) if count else iter(int, 1):
            yield PIECE

    def post(self, requests: Iterable[bytes], _: Any) -> bytes:
        """How much came."""
        return b"%d" % sum(map(len, requests))

    def talk(self, requests: Iterable[bytes], _: Any) -> Iterator[bytes]:
        """Each piece back at once."""
        yield from requests


def serve(port: int) -> None:
    """Until it is ended."""
    server = grpc.server(ThreadPoolExecutor(16), options=OPTIONS)
    service = Service()
    handlers = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(service, name.lower()))
        for name, kind in NAMES.items()
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("jobs.Jobs", handlers)])
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    server.wait_for_termination()


class Client:
    """Calls of one channel."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, OPTIONS)

    def method(self, name: str, service: str = "jobs.Jobs") -> Any:
        """One to be called."""
        return getattr(self._channel, NAMES[name])(f"/{service}/{name}")

    def unary(self) -> str:
        return str(self.method("Get")(b"abc", timeout=WITHIN_S))

    def large(self) -> bool:
        return bool(self.method("Get")(LARGE, timeout=WITHIN_S) == LARGE[::-1])

    def server_streaming(self) -> bool:
        return list(self.method("List")(b"%d" % PIECES, timeout=WITHIN_S)) == [PIECE] * PIECES

    def client_streaming(self) -> int:
        return int(self.method("Post")(iter([PIECE] * PIECES), timeout=WITHIN_S))

    def both_streaming(self) -> bool:
        return list(self.method("Talk")(iter([PIECE] * PIECES), timeout=WITHIN_S)) == [PIECE] * PIECES

    def deadline(self) -> str:
        return _status(lambda: self.method("Get")(b"wait", timeout=0.2))

    def cancellation(self) -> tuple[str, str]:
        """In the midst of a stream without an end; and whether the server was told."""
        call = self.method("List")(b"", timeout=WITHIN_S)
        assert list(islice(call, 3)) == [PIECE] * 3
        call.cancel()
        return _status(lambda: next(call)), str(self.method("Get")(b"ended", timeout=WITHIN_S))

    def denied_unary(self) -> str:
        return _status(lambda: self.method("Get", "jobs.Pay")(LARGE, timeout=WITHIN_S))

    def denied_server_streaming(self) -> str:
        return _status(lambda: list(self.method("List", "jobs.Pay")(b"1", timeout=WITHIN_S)))

    def denied_client_streaming(self) -> str:
        return _status(lambda: self.method("Post", "jobs.Pay")(iter([PIECE] * PIECES), timeout=WITHIN_S))

    def denied_both_streaming(self) -> str:
        return _status(lambda: list(self.method("Talk", "jobs.Pay")(iter([PIECE] * PIECES), timeout=WITHIN_S)))

    def many(self) -> list[int]:
        """At once, every other one denied: how many of each."""
        calls = [
            self.method("Get", ("jobs.Jobs", "jobs.Pay")[number % 2]).future(PIECE[:1000], timeout=WITHIN_S)
            for number in range(400)
        ]
        codes = [call.code() for call in calls]
        return [codes[::2].count(grpc.StatusCode.OK), codes[1::2].count(grpc.StatusCode.PERMISSION_DENIED)]


CALLS: Final = (
    "unary", "denied_unary", "large", "server_streaming", "client_streaming", "both_streaming",
    "denied_server_streaming", "denied_client_streaming", "denied_both_streaming", "deadline", "cancellation", "many",
)  # fmt: skip


def _status(call: Callable[[], object]) -> str:
    """How a call ends that does not end well."""
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


def call(target: str) -> None:
    """Each kind of call, in turn."""
    client = Client(target)
    for name in CALLS:
        sys.stdout.write(json.dumps([name, getattr(client, name)()]) + "\n")


if __name__ == "__main__":
    serve(int(sys.argv[2])) if sys.argv[1] == "serve" else call(sys.argv[2])
