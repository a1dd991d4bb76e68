"""The conformance kit for routing plugins passes one that keeps the contract, and finds those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netloom.model.address import Network
from netloom.plugins import Context, LearnedRoute, Query, RouteChanges, Router, RouteWatcher, Sample, hookimpl
from netloom.plugins.testing import RouterConformance, RouterWorld, check_plugin
from support.file_router import VIA, AskedFileRouter, FileRouter, Files, FileWorld

PATIENCE_S = 1.0
"""With a router that is known to be wrong."""


class Kit(RouterConformance):
    """The kit's tests of one plugin; each test has a directory of its own."""

    plugin: type[Files] = Files
    patience_s = RouterWorld.patience_s

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    @contextmanager
    def make_world(self) -> Iterator[RouterWorld]:
        yield FileWorld(self.directory, self.plugin, self.patience_s)


class TestWatcher(Kit):
    """One that tells."""


class AskedFiles(Files):
    router_type = AskedFileRouter


class TestAsked(Kit):
    """One that is asked."""

    plugin = AskedFiles


def test_the_small_plugin_is_one() -> None:
    check_plugin(Files)


# --- broken in what they announce ----------------------------------------------------------------


class OneVersion(FileRouter):
    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        self.meeting.write([prefix for prefix in prefixes if prefix.version == 4])


class Adding(FileRouter):
    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        self.meeting.write({*self.meeting.read(self.meeting.announced), *prefixes} if prefixes else ())


class Flapping(FileRouter):
    """Takes everything back before it announces."""

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        self.meeting.write(())
        await asyncio.sleep(0.2)
        self.meeting.write(prefixes)


class Clinging(FileRouter):
    """Takes nothing for no announcement at all."""

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        if prefixes:
            self.meeting.write(prefixes)


class Stubborn(FileRouter):
    """Keeps what the run before announced."""

    before: tuple[Network, ...] | None = None

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        if self.before is None:
            self.before = self.meeting.read(self.meeting.announced)
        self.meeting.write({*self.before, *prefixes})


class Waiting(FileRouter):
    """Does not return before it has been heard."""

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        while self.meeting.closed.exists():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
        self.meeting.write(prefixes)


class Crashing(FileRouter):
    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        if self.meeting.closed.exists():
            raise OSError("the door is shut")
        self.meeting.write(prefixes)


# --- broken in what they tell ---------------------------------------------------------------------


class Unfinished(FileRouter):
    """Never says that it has told everything."""

    async def changes(self) -> AsyncIterator[RouteChanges]:
        async for batch in super().changes():
            yield RouteChanges(routes=batch.routes, gone=batch.gone)


class Partial(FileRouter):
    """Says so before it has."""

    async def changes(self) -> AsyncIterator[RouteChanges]:
        async for batch in super().changes():
            yield RouteChanges(routes=batch.routes[:1], gone=batch.gone, complete=batch.complete)


class Taciturn(FileRouter):
    """Has nothing to say while there is nothing."""

    async def changes(self) -> AsyncIterator[RouteChanges]:
        async for batch in super().changes():
            if batch.routes or batch.gone:
                yield batch


class Hoarding(FileRouter):
    """Never tells what is gone."""

    async def changes(self) -> AsyncIterator[RouteChanges]:
        async for batch in super().changes():
            yield RouteChanges(routes=batch.routes, complete=batch.complete)


class Sweeping(FileRouter):
    """Has everything go before it tells a change."""

    async def changes(self) -> AsyncIterator[RouteChanges]:
        while True:
            told = self.told
            self.told = self.found()
            if told.keys() != self.told.keys():
                yield RouteChanges(gone=tuple(told))
            yield RouteChanges(routes=tuple(self.told.values()), complete=True)
            await asyncio.sleep(0.01)


class Contradicting(FileRouter):
    """Tells the same prefix both ways."""

    async def changes(self) -> AsyncIterator[RouteChanges]:
        async for batch in super().changes():
            yield RouteChanges(routes=batch.routes, gone=tuple(route.prefix for route in batch.routes), complete=True)


class Once(FileRouter):
    """Tells each thing once, whoever listens."""

    async def changes(self) -> AsyncIterator[RouteChanges]:
        while True:
            found = self.found()
            new = tuple(route for prefix, route in found.items() if prefix not in self.told)
            self.told |= found
            yield RouteChanges(routes=new, complete=not self.told.keys() - {route.prefix for route in new})
            await asyncio.sleep(0.01)


class Ending(FileRouter):
    async def changes(self) -> AsyncIterator[RouteChanges]:
        self.told = self.found()
        yield RouteChanges(routes=tuple(self.told.values()), complete=True)


class Mixing(FileRouter):
    """Leads to IPv6 prefixes by an IPv4 address."""

    def found(self) -> dict[Network, LearnedRoute]:
        return {prefix: LearnedRoute(prefix=prefix, via=VIA[4]) for prefix in super().found()}


class Shaken(FileRouter):
    """Learns nothing more once it was kept out."""

    shaken = False

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        self.shaken |= self.meeting.closed.exists()
        self.meeting.write(prefixes)

    def found(self) -> dict[Network, LearnedRoute]:
        return self.told if self.shaken else super().found()


def with_router(router: type[FileRouter]) -> type[Files]:
    """The plugin with another router."""
    return type(router.__name__, (Files,), {"router_type": router})


# --- broken in the rest ---------------------------------------------------------------------------


class Leaving(Files):
    """Cleans nothing."""

    @hookimpl
    def netloom_clean(self, context: Context) -> Sequence[str]:
        return (str(context.run_dir),)


class Silent(Files):
    """Says nothing of what it removed."""

    @hookimpl
    def netloom_clean(self, context: Context) -> Sequence[str]:
        super().netloom_clean(context)
        return ()


class Boasting(Files):
    """Says that it removed what was not there."""

    @hookimpl
    def netloom_clean(self, context: Context) -> Sequence[str]:
        super().netloom_clean(context)
        return ("file announced",)


class Littering(Files):
    """Leaves a file."""

    @hookimpl
    def netloom_clean(self, context: Context) -> Sequence[str]:
        (context.run_dir / "cleaned").touch()
        return super().netloom_clean(context)


class Demanding(Files):
    """Cannot clean without settings."""

    @hookimpl
    def netloom_clean(self, context: Context) -> Sequence[str]:
        return super().netloom_clean(Context(node_name="n1", config=None, run_dir=context.config.directory))


class Odd(Files):
    """Answers what JSON cannot hold."""

    def answer(self, parameters: Mapping[str, str]) -> Any:
        return set(self.meeting.read(self.meeting.announced)) if not parameters else None


class Raising(Files):
    """Takes a question's parameters for what they should be."""

    @hookimpl
    def netloom_queries(self) -> Sequence[Query]:
        return (Query(name="number", summary="One.", answer=lambda asked: int(asked.get("n", "1")), parameters=("n",)),)


class Miscounting(Files):
    """Has numbers that metrics cannot hold."""

    @hookimpl
    def netloom_metrics(self) -> Sequence[Sample]:
        return (Sample(name="Announced prefixes", help="How many.", value=1),)


class Empty(Files):
    """Gives something that is no router."""

    @hookimpl
    def netloom_routers(self) -> Sequence[Router | RouteWatcher]:
        return (object(),)  # type: ignore[return-value]


HEARD = "test_what_is_announced_is_heard_outside"
AGAIN = "test_announcing_the_same_again_changes_nothing"
REPLACED = "test_an_announcement_takes_the_place_of_the_one_before"
NOTHING = "test_announcing_nothing_takes_everything_back"
WHOLE = "test_what_stands_outside_is_learnt_as_a_whole"
EMPTY = "test_that_nothing_is_learnt_is_told_too"
CHANGES = "test_changes_are_told_and_what_stands_is_left_alone"
ANEW = "test_whoever_listens_anew_is_told_everything"
NEXT_RUN = "test_the_next_run_goes_on_with_what_it_announces_and_finds"
OUTAGE = "test_an_outage_delays_what_is_told_and_costs_nothing"
CLEAN = "test_a_node_that_is_taken_out_of_service_is_forgotten"
QUESTIONS = "test_questions_are_answered_whatever_is_asked"
NUMBERS = "test_numbers_can_be_told_at_any_time"
MUTANTS: list[tuple[type[Files], str, str]] = [
    (with_router(OneVersion), HEARD, "is known, expected"),
    (with_router(Adding), REPLACED, "is known, expected"),
    (with_router(Flapping), AGAIN, "was missing meanwhile"),
    (with_router(Flapping), REPLACED, "was missing meanwhile"),
    (with_router(Flapping), NEXT_RUN, "was missing meanwhile"),
    (with_router(Clinging), NOTHING, "expected nothing"),
    (with_router(Stubborn), NEXT_RUN, "is known, expected"),
    (with_router(Waiting), OUTAGE, "announce took longer than 5 s"),
    (with_router(Crashing), OUTAGE, "the door is shut"),
    (with_router(Unfinished), WHOLE, "0 batches were complete"),
    (with_router(Partial), WHOLE, "is learnt, expected one at least, and"),
    (with_router(Taciturn), EMPTY, "0 batches were complete"),
    (with_router(Hoarding), CHANGES, "is learnt, expected one at least, and"),
    (with_router(Sweeping), CHANGES, "told to be gone, though it stands outside"),
    (with_router(Contradicting), WHOLE, "one batch tells .* both ways"),
    (with_router(Once), ANEW, "0 batches were complete"),
    (with_router(Ending), CHANGES, "changes ended, expected it to go on"),
    (with_router(Mixing), WHOLE, "expected next hops of the same IP version"),
    (with_router(Shaken), OUTAGE, "is learnt, expected one at least, and"),
    (Leaving, CLEAN, "expected nothing"),
    (Silent, CLEAN, "named nothing, expected what it removed"),
    (Boasting, CLEAN, "there was nothing left"),
    (Littering, CLEAN, "files are left in"),
    (Demanding, CLEAN, "directory"),
    (Odd, QUESTIONS, "returned a set, expected what JSON can hold"),
    (Raising, QUESTIONS, "invalid literal for int"),
    (Miscounting, NUMBERS, "sample named 'Announced prefixes'"),
    (Empty, HEARD, "expected Router: it lacks announce, learned"),
]


@pytest.mark.parametrize(
    ("plugin", "test", "words"),
    MUTANTS,
    ids=[f"{plugin.__name__}-{test.removeprefix('test_')}" for plugin, test, _ in MUTANTS],
)
def test_what_is_wrong_with_a_routing_plugin_is_found(
    tmp_path: Path, plugin: type[Files], test: str, words: str
) -> None:
    """And said."""
    kit = Kit()
    kit.plugin, kit.patience_s, kit.directory = plugin, PATIENCE_S, tmp_path
    run: Callable[[], None] = getattr(kit, test)
    with pytest.raises(Exception, match=words):
        run()


def test_every_test_of_the_kit_has_found_something() -> None:
    tests = {name for name in dir(RouterConformance) if name.startswith("test_")}
    assert tests == {test for _, test, _ in MUTANTS}
