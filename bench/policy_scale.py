"""How long a node takes to enforce policies, and what they cost it, with a few identities and with many.

An agent runs on a node of its own, with endpoints attached for real. Policies and identities come to it by the store,
as if they had been given to another node: so the way through the store, reading them there and here, and all of the
agent's own work counts, and the moment they are enforced is seen in the kernel.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from bench import policy_import
from bench.attach import Candidate, call, ours, pods
from bench.enforced import Enforced, Store, read
from bench.nodes import Node, node
from bench.policy_world import MONITOR, App, policy_text, scrape_text, subject_of
from netloom.agent.identities import IDENTITIES, LABELS
from netloom.model.labels import Labels, canonical

POLICIES = 1000
SELECTED = 200
"""Identities that policies are about; all others only meet them as peers."""
ENDPOINTS = 100
SIZES = (200, 1000, 3000, 10_000)
"""Identities of the cluster."""
LAST_APP = 60_000
"""An application of which there is only what monitors others."""
REPEATS = 9
IMPORTS = 5
ATTACHED = 15
"""Pods that are attached and detached to see what that costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One number of identities. Times are in seconds, from the reading of files until programs enforce them."""

    identities: int
    all_s: float
    """All policies at once."""
    policy_s: float
    """One more, about one application."""
    wide_policy_s: float
    """One more, about every endpoint of the node."""
    identity_s: float
    """One more, of a tier that some of the policies name."""
    wide_identity_s: float
    """One more, which every endpoint of the node lets in."""
    restart_s: float
    """Until an agent is ready that finds it all: everything is resolved anew."""
    resident_bytes: int
    """Of the agent with all policies."""
    resident_before_bytes: int
    """Without any."""
    entries: int
    """Of all tables."""
    table_bytes: int
    """Of kernel memory for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adding:
    """Median ADD, in nanoseconds, of pods of an identity that has endpoints, and of pods that bring a new one."""

    known_before_ns: float
    known_ns: float
    """With all policies."""
    new_before_ns: float
    new_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """All that is measured of a node with policies."""

    import_s: float
    """All policies at once on the node that they are given to, over the fewest identities."""
    scales: tuple[Scale, ...]
    adding: Adding


def measure(driver: Path, mark: str, say: Callable[[str], None], sizes: tuple[int, ...] = SIZES) -> Scaling:
    """A node for each size, one after another; ADDs on the smallest."""
    scales, adding = [], None
    for size in sizes:
        say(f"{POLICIES} policies over {size} identities")
        with ExitStack() as stack:
            home = stack.enter_context(node(mark))
            prefix = stack.enter_context(pods(mark, ENDPOINTS + ATTACHED))
            with Store(home.store) as store:
                store.put(_identities(range(size)))
                bench = _Bench(driver, home, stack.enter_context(ours(home)), prefix, store)
                bench.attach_endpoints()
                with Enforced(home.pins) as enforced:
                    before = bench.add("before") if adding is None else None
                    scales.append(bench.scale(size, enforced))
                if before is not None:
                    known, new = bench.add("after")
                    adding = Adding(known_before_ns=before[0], known_ns=known, new_before_ns=before[1], new_ns=new)
    if adding is None:
        raise ValueError("no sizes to measure")
    say(f"importing {POLICIES} policies")
    import_s = policy_import.measure(POLICIES, SELECTED, ENDPOINTS, IMPORTS)
    return Scaling(import_s=import_s, scales=tuple(scales), adding=adding)


def _identities(numbers: range) -> dict[str, bytes]:
    """What agents keep of identities in the store."""
    found: dict[str, bytes] = {}
    for number in numbers:
        found |= _identity(App(number).identity, App(number).labels)
    return found


def _identity(number: int, labels: Labels) -> dict[str, bytes]:
    text = canonical(labels)
    return {f"{IDENTITIES}{number}": text.encode(), f"{LABELS}{text}": str(number).encode()}


@dataclass(frozen=True, slots=True)
class _Bench:
    """A node with an agent, and what is done to it."""

    driver: Path
    home: Node
    candidate: Candidate
    prefix: str
    store: Store

    def attach_endpoints(self) -> None:
        """Every other of the identities that policies are about has one."""
        for number in range(ENDPOINTS):
            self._add_one(number, App(number * SELECTED // ENDPOINTS).labels)

    def _add_one(self, number: int, labels: Labels) -> int:
        config = json.loads(self.candidate.config.read_text())
        config["args"] = {"cni": {"labels": [{"key": f"k8s:{label.key}", "value": label.value} for label in labels]}}
        path = self.home.directory / "pod.conf"
        path.write_text(json.dumps(config))
        (took,) = call(self.driver, replace(self.candidate, config=path), "ADD", self.prefix, range(number, number + 1))
        return took

    def add(self, phase: str) -> tuple[float, float]:
        """Median ADD of pods of known identities, and of pods with new ones that the same policies select."""
        known, new = [], []
        for number in range(ATTACHED):
            app = App(number * 2)
            place = ENDPOINTS + number
            extra = next(iter(app.labels))
            known.append(self._add_one(place, app.labels))
            self._remove(place)
            new.append(self._add_one(place, app.labels | {replace(extra, key="batch", value=f"{phase}-{number}")}))
            self._remove(place)
        return median(known), median(new)

    def _remove(self, number: int) -> None:
        call(self.driver, self.candidate, "DEL", self.prefix, range(number, number + 1))

    def scale(self, size: int, enforced: Enforced) -> Scale:
        """Everything of one number of identities."""
        before = self.home.resident_bytes
        texts = [policy_text(number, SELECTED) for number in range(POLICIES)]
        all_s = enforced.after(partial(self._import, texts))
        wide_policy_s = median(self._wide_policies(enforced))
        resident, (entries, table_bytes) = self.home.resident_bytes, enforced.tables()
        return Scale(
            identities=size,
            all_s=all_s,
            policy_s=median(self._policies(enforced)),
            wide_policy_s=wide_policy_s,
            identity_s=median(self._more(enforced, size, wide=False)),
            wide_identity_s=median(self._more(enforced, size + REPEATS, wide=True)),
            restart_s=self._restart(),
            resident_bytes=resident,
            resident_before_bytes=before,
            entries=entries,
            table_bytes=table_bytes,
        )

    def _import(self, texts: list[str]) -> None:
        self.store.put_policies(read(texts))

    def _policies(self, enforced: Enforced) -> Iterator[float]:
        """About applications that have an endpoint here."""
        wanted = (number for number in range(POLICIES, 10 * POLICIES) if _is_here(number))
        for _, number in zip(range(REPEATS), wanted, strict=False):
            text = policy_text(number, SELECTED)
            yield enforced.after(partial(self._import, [text]))

    def _wide_policies(self, enforced: Enforced) -> Iterator[float]:
        monitor = App(LAST_APP)
        self.store.put(_identity(monitor.identity, monitor.labels | MONITOR))  # nobody's peer yet
        for number in range(REPEATS):
            text = scrape_text(9090 + number)
            yield enforced.after(partial(self._import, [text]))

    def _more(self, enforced: Enforced, first: int, *, wide: bool) -> Iterator[float]:
        for number in range(first, first + REPEATS):
            app = App(number)
            labels = app.labels | MONITOR if wide else app.labels
            values = _identity(app.identity, labels)
            yield enforced.after(partial(self.store.put, values))

    def _restart(self) -> float:
        self.home.stop()
        return self.home.start()


def _is_here(number: int) -> bool:
    """Whether a policy is of the kind that names one application which this node has."""
    return number % 10 >= 4 and subject_of(number, SELECTED).number % (SELECTED // ENDPOINTS) == 0
