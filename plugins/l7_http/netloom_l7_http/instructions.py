"""What a parser wants done with one call's bytes, neighbours as one: each instruction is work for whoever obeys it."""

from __future__ import annotations

from netloom.plugins import Op, OpKind


class Instructions:
    """Collected in turn. What is dropped leaves nothing behind, so words that are said meanwhile can be one."""

    __slots__ = ("_dropped_bytes", "_ops", "_passed_bytes", "_to_client", "_to_server")

    def __init__(self) -> None:
        self._ops: list[Op] = []
        self._passed_bytes = self._dropped_bytes = 0
        self._to_server: list[bytes] = []
        self._to_client: list[bytes] = []

    def passes(self, count: int) -> None:
        """The next bytes go on."""
        if self._dropped_bytes or self._to_server or self._to_client:
            self._close()
        self._passed_bytes += count

    def drops(self, count: int) -> None:
        """The next bytes do not."""
        if self._passed_bytes:
            self._close()
        self._dropped_bytes += count

    def tells_server(self, words: bytes) -> None:
        """Behind what goes on of a client."""
        if self._passed_bytes:
            self._close()
        self._to_server.append(words)

    def tells_client(self, words: bytes) -> None:
        """Behind what goes on of a server."""
        if self._passed_bytes:
            self._close()
        self._to_client.append(words)

    def breaks(self, why: str) -> None:
        """It is not the protocol; nothing follows."""
        self._close()
        self._ops.append(Op(kind=OpKind.ERROR, data=why.encode()))

    def taken(self) -> tuple[Op, ...]:
        """All of them."""
        self._close()
        return tuple(self._ops)

    def _close(self) -> None:
        """Nothing more joins what stands open: words first, then the one count there is."""
        if self._to_server:
            self._ops.append(Op(kind=OpKind.INJECT, data=b"".join(self._to_server), reply=False))
            self._to_server = []
        if self._to_client:
            self._ops.append(Op(kind=OpKind.INJECT, data=b"".join(self._to_client)))
            self._to_client = []
        if self._passed_bytes:
            self._ops.append(Op(kind=OpKind.PASS, count=self._passed_bytes))
        elif self._dropped_bytes:
            self._ops.append(Op(kind=OpKind.DROP, count=self._dropped_bytes))
        self._passed_bytes = self._dropped_bytes = 0
