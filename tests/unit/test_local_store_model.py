"""The store against a dictionary: whatever is done in whatever order, through one handle or the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from netloom_local import database
from netloom_local.database import Database
from netloom_local.store import Follower

KEYS = st.sampled_from(["a", "ab", "ab/c", "b", "\U0010ffff", ""])
PREFIXES = ("", "a", "ab", "\U0010ffff")


@dataclass(frozen=True, slots=True)
class Step:
    """One call through one of two handles, or a look by the follower of one prefix."""

    handle: int
    what: str
    key: str
    value: bytes
    fresh: bool


STEPS = st.lists(
    st.builds(
        Step,
        handle=st.integers(0, 1),
        what=st.sampled_from(["put", "delete", "swap", "look"]),
        key=KEYS,
        value=st.binary(max_size=3),
        fresh=st.booleans(),
    ),
    max_size=40,
)


@contextmanager
def two_handles() -> Iterator[tuple[Database, Database]]:
    with tempfile.TemporaryDirectory() as directory:
        handles = Database(Path(directory, "store.db")), Database(Path(directory, "store.db"))
        for handle in handles:
            handle.open()
        yield handles
        for handle in handles:
            handle.close()


def act(handle: Database, step: Step, model: dict[str, bytes]) -> None:
    """Do a step to both, and compare what it says."""
    if step.what == "put":
        handle.put(step.key, step.value)
        model[step.key] = step.value
    elif step.what == "delete":
        assert handle.delete(step.key) == (model.pop(step.key, None) is not None)
    elif step.what == "swap":
        entry = handle.get(step.key)
        expected = 0 if step.fresh or entry is None else entry.revision
        right = (step.key not in model) == (expected == 0)
        assert handle.compare_and_swap(step.key, expected, step.value) == right
        if right:
            model[step.key] = step.value


def look(handle: Database, follower: Follower, prefix: str, seen: dict[str, bytes]) -> None:
    """Let a follower catch up, and apply what it is told."""
    for event in follower.take(handle.changes(prefix, follower.cursor)):
        if event.entry is None:
            seen.pop(event.key, None)
        else:
            seen[event.key] = event.entry.value


@settings(max_examples=60)
@given(steps=STEPS)
def test_store_and_followers_end_where_a_dictionary_does(steps: list[Step]) -> None:
    """A short history, so that followers come too late now and then and must be told everything."""
    model: dict[str, bytes] = {}
    followers = {prefix: (Follower(), dict[str, bytes]()) for prefix in PREFIXES}
    with patch.object(database, "HISTORY", 3), two_handles() as handles:
        for step in steps:
            act(handles[step.handle], step, model)
            if step.what == "look":
                prefix = PREFIXES[len(step.value)]
                look(handles[step.handle], followers[prefix][0], prefix, followers[prefix][1])
        for prefix, (follower, seen) in followers.items():
            look(handles[0], follower, prefix, seen)
            expected = {key: value for key, value in model.items() if key.startswith(prefix)}
            assert seen == expected
            listed = handles[1].items(prefix)
            assert [entry.key for entry in listed] == sorted(expected)
            assert {entry.key: entry.value for entry in listed} == expected
