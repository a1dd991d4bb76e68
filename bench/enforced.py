"""Policies and identities given to agents by the store they share, and the kernel asked for what came of it.

A change counts as enforced when programs are told to ask again about every connection: an agent does that last, when
tables, subjects and prefixes are written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from netloom.agent.policies import key_of
from netloom.bpf.maps import BpfMap, open_inner, open_map
from netloom.datapath.enforcement import POLICIES, POLICY_TABLE
from netloom.datapath.maps import Index, MapSpec
from netloom.datapath.registry import NODE_CONFIG
from netloom.model.policy import Policy
from netloom.policy.read import read_policies
from netloom_local.store import LocalStore

K = TypeVar("K")
V = TypeVar("V")

_POLL_S = 0.0002
_WITHIN_S = 120.0


def read(texts: Iterable[str]) -> tuple[Policy, ...]:
    """Policies of one file that holds these, as an import reads them."""
    return read_policies("---\n".join(texts), "bench.yaml").policies


class Store:
    """A store that agents of this machine follow, open while the block runs."""

    def __init__(self, path: Path) -> None:
        self._store = LocalStore(path, poll_interval_s=60)
        self._runner = asyncio.Runner()

    def put(self, values: Mapping[str, bytes]) -> None:
        """Write keys, all at once."""
        self._runner.run(self._store.put_all(values))

    def put_policies(self, policies: Iterable[Policy]) -> None:
        """Give policies to the cluster."""
        self.put({key_of(policy.name): policy.document.encode() for policy in policies})

    def __enter__(self) -> Self:
        self._runner.run(self._store.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._store.close())
        self._runner.close()


class Enforced:
    """What programs of one node look into; open while the block runs."""

    def __init__(self, bpf_dir: Path) -> None:
        """``bpf_dir``: the node's pins."""
        self._directory = bpf_dir / "maps"
        self._stack = ExitStack()

    def after(self, change: Callable[[], object]) -> float:
        """Seconds from the beginning of a change until programs enforce it. Raises RuntimeError."""
        before = self._epoch()
        began = time.monotonic()
        change()
        while self._epoch() == before:
            if time.monotonic() - began > _WITHIN_S:
                raise RuntimeError(f"nothing was enforced within {_WITHIN_S:g} s")
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def tables(self) -> tuple[int, int]:
        """Entries of all tables of policies, and bytes of kernel memory they take."""
        entries = size = 0
        with self._open(POLICIES) as policies:
            for inner in policies.items().values():
                table = open_inner(inner.map, POLICY_TABLE)
                if table is not None:
                    with table:
                        entries += table.info().entries
                        size += _memory_of(table)
        return entries, size

    def _epoch(self) -> int:
        config = self._config.get(Index(0))
        return config.policy_epoch if config else 0

    def _open(self, spec: MapSpec[K, V]) -> BpfMap[K, V]:
        pin = self._directory / spec.pin_name
        if not pin.exists():
            raise RuntimeError(f"no agent has pinned {pin}")
        return open_map(pin, spec)

    def __enter__(self) -> Self:
        self._config = self._stack.enter_context(self._open(NODE_CONFIG))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _memory_of(table: BpfMap[Any, Any]) -> int:
    """As the kernel counts it (``memlock`` in fdinfo)."""
    lines = Path(f"/proc/self/fdinfo/{table.fd}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("memlock:"))
