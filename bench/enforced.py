"""Policies given to agents by the store they share, as other agents would, and the kernel asked for what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from netloom.agent.policies import key_of
from netloom.bpf.maps import open_map
from netloom.datapath.enforcement import SUBJECTS, Isolation, SubjectKey
from netloom.policy.read import read_policies
from netloom_local.store import LocalStore

_POLL_S = 0.0005
_WITHIN_S = 120.0


def put_policies(store: Path, texts: Iterable[str]) -> None:
    """Read policies as an import does, and write them all at once."""
    found = read_policies("---\n".join(texts), "bench.yaml").policies
    put_entries(store, {key_of(policy.name): policy.document.encode() for policy in found})


def put_entries(store: Path, values: Mapping[str, bytes]) -> None:
    """Write keys into a store that agents of this machine follow."""
    asyncio.run(_put(store, values))


async def _put(path: Path, values: Mapping[str, bytes]) -> None:
    store = LocalStore(path, poll_interval_s=60)
    await store.open()
    try:
        await store.put_all(values)
    finally:
        await store.close()


class Isolated:
    """Which subjects of a node programs isolate, from the map that they look into."""

    def __init__(self, bpf_dir: Path) -> None:
        """``bpf_dir``: the node's pins."""
        pin = bpf_dir / "maps" / SUBJECTS.pin_name
        if not pin.exists():
            raise RuntimeError(f"no agent has pinned {pin}")
        self._subjects = open_map(pin, SUBJECTS)

    def wait(self, ingress: Mapping[int, Isolation]) -> float:
        """Until subjects are isolated like this; gives the moment (monotonic, s). Raises RuntimeError."""
        ends = time.monotonic() + _WITHIN_S
        for identity, wanted in ingress.items():
            while (found := self._subjects.get(SubjectKey(identity))) is None or found.ingress != wanted:
                if time.monotonic() > ends:
                    raise RuntimeError(f"identity {identity} is {found} after {_WITHIN_S:g} s, expected {wanted!r}")
                time.sleep(_POLL_S)
        return time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._subjects.close()
