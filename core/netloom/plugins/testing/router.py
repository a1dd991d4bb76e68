"""Tests every routing plugin passes."""

# ruff: noqa: S101 - these are tests, wherever they are kept

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from typing import Any

from netloom.model.address import Network
from netloom.model.errors import NetloomError
from netloom.plugins import accept, accept_answers
from netloom.plugins.answering import Query
from netloom.plugins.testing.router_world import LOOK_S, Life, RouterWorld, in_time

Scenario = Callable[[Life], Awaitable[None]]
LOOKS = 25
"""At something that must not change."""
ODD_VALUES = ("", "0", "-1", "☃", "::/0", "x" * 1000)
"""Of a query's parameter, as people mistype them."""


class RouterConformance:
    """What every routing plugin does. Say how to make the world of a test."""

    def make_world(self) -> AbstractContextManager[RouterWorld]:
        """A node with the plugin, and somebody outside; all of it ends with the context, whatever was left running."""
        raise NotImplementedError

    def test_what_is_announced_is_heard_outside(self) -> None:
        """Of each IP version, and nothing else."""

        async def scenario(node: Life) -> None:
            await node.start()
            await node.announce(_own(node.world, 1, 2))
            await node.until_heard(_own(node.world, 1, 2))

        self._run(scenario)

    def test_announcing_the_same_again_changes_nothing(self) -> None:
        """Nobody outside sees a prefix go."""

        async def scenario(node: Life) -> None:
            own = _own(node.world, 1)
            await node.start()
            await node.announce(own)
            await node.until_heard(own)
            again = asyncio.create_task(node.announce(own))
            for _ in range(LOOKS):
                await node.until_heard(own, always=own)
                await asyncio.sleep(LOOK_S)
            await again

        self._run(scenario)

    def test_an_announcement_takes_the_place_of_the_one_before(self) -> None:
        """What is in both stands all the while."""

        async def scenario(node: Life) -> None:
            await node.start()
            await node.announce(_own(node.world, 1, 2))
            await node.until_heard(_own(node.world, 1, 2))
            change = asyncio.create_task(node.announce(_own(node.world, 2, 3)))
            await node.until_heard(_own(node.world, 2, 3), always=_own(node.world, 2))
            await change

        self._run(scenario)

    def test_announcing_nothing_takes_everything_back(self) -> None:
        """It is an announcement like any other."""

        async def scenario(node: Life) -> None:
            await node.start()
            await node.announce(_own(node.world, 1))
            await node.until_heard(_own(node.world, 1))
            await node.announce(())
            await node.until_heard(())

        self._run(scenario)

    def test_what_stands_outside_is_learnt_as_a_whole(self) -> None:
        """With a batch that is complete: before one nothing of an earlier run is given up."""

        async def scenario(node: Life) -> None:
            await asyncio.to_thread(node.world.spread, _others(node.world, 1, 2))
            await node.start()
            await node.announce(_own(node.world, 1))
            await node.until_learned(_others(node.world, 1, 2))

        self._run(scenario)

    def test_that_nothing_is_learnt_is_told_too(self) -> None:
        """Or what an earlier run has learnt would stand for ever."""

        async def scenario(node: Life) -> None:
            await node.start()
            await node.announce(_own(node.world, 1))
            await node.until_learned(())

        self._run(scenario)

    def test_changes_are_told_and_what_stands_is_left_alone(self) -> None:
        """Of three prefixes one stands, one goes and one comes."""

        async def scenario(node: Life) -> None:
            await asyncio.to_thread(node.world.spread, _others(node.world, 1, 2))
            await node.start()
            await node.announce(_own(node.world, 1))
            await node.until_learned(_others(node.world, 1, 2))
            node.gone.clear()
            await asyncio.to_thread(node.world.spread, _others(node.world, 2, 3))
            await node.until_learned(_others(node.world, 2, 3))
            assert node.gone == set(_others(node.world, 1)), "told to be gone, though it stands outside"

        self._run(scenario)

    def test_whoever_listens_anew_is_told_everything(self) -> None:
        """As the agent does after a failure."""

        async def scenario(node: Life) -> None:
            await asyncio.to_thread(node.world.spread, _others(node.world, 1))
            await node.start()
            await node.announce(_own(node.world, 1))
            for _ in range(2):
                await node.until_learned(_others(node.world, 1))
                await node.listen()
            await node.until_learned(_others(node.world, 1))

        self._run(scenario)

    def test_the_next_run_goes_on_with_what_it_announces_and_finds(self) -> None:
        """What only the run before announced is taken back; what outlives agents is never missing."""

        async def before(node: Life) -> None:
            await asyncio.to_thread(node.world.spread, _others(node.world, 1, 2))
            await node.start()
            await node.announce(_own(node.world, 1, 2))
            await node.until_heard(_own(node.world, 1, 2))
            await node.until_learned(_others(node.world, 1, 2))

        async def after(node: Life) -> None:
            kept = _own(node.world, 2) if node.world.outlives else ()
            await asyncio.to_thread(node.world.spread, _others(node.world, 2, 3))
            await node.start()
            change = asyncio.create_task(node.announce(_own(node.world, 2, 3)))
            await node.until_heard(_own(node.world, 2, 3), always=kept)
            await change
            await node.until_learned(_others(node.world, 2, 3))

        self._run(before, after)

    def test_an_outage_delays_what_is_told_and_costs_nothing(self) -> None:
        """An announcement made meanwhile returns in time, or raises a NetloomError and is made again."""

        async def scenario(node: Life) -> None:
            world = node.world
            await asyncio.to_thread(world.spread, _others(world, 1))
            await node.start()
            await node.announce(_own(world, 1))
            await node.until_heard(_own(world, 1))
            await node.until_learned(_others(world, 1))
            await asyncio.to_thread(world.cut)
            await node.try_to_announce(_own(world, 2))
            await asyncio.to_thread(world.spread, _others(world, 2))
            await asyncio.to_thread(world.mend)
            await node.announce(_own(world, 2))
            await node.until_heard(_own(world, 2))
            await node.until_learned(_others(world, 2))

        self._run(scenario)

    def test_a_node_that_is_taken_out_of_service_is_forgotten(self) -> None:
        """The plugin tells once what it removed, and needs no settings for it."""

        async def before(node: Life) -> None:
            await node.start()
            await node.announce(_own(node.world, 1))
            await node.until_heard(_own(node.world, 1))

        async def clean(node: Life) -> None:
            bare = replace(node.context, config=None)
            removed = await node.ask("netloom_clean", partial(accept.items, str), bare) or ()
            await node.until_heard(())
            assert not node.world.outlives or removed, "netloom_clean named nothing, expected what it removed"
            assert not await node.ask("netloom_clean", partial(accept.items, str), bare), "there was nothing left"
            if node.context.run_dir.exists():
                assert not [*node.context.run_dir.iterdir()], f"files are left in {node.context.run_dir}"

        self._run(before, clean)

    def test_questions_are_answered_whatever_is_asked(self) -> None:
        """Whether or not there is somebody outside: by what JSON can hold, or by a NetloomError."""

        async def scenario(node: Life) -> None:
            await asyncio.to_thread(node.world.spread, _others(node.world, 1))
            await node.start()
            queries = await node.ask("netloom_queries", accept_answers.queries) or ()
            for query in queries:
                await _answered(query)
            await node.announce(_own(node.world, 1))
            await node.until_learned(_others(node.world, 1))
            for query in queries:
                await _answered(query)

        self._run(scenario)

    def test_numbers_can_be_told_at_any_time(self) -> None:
        """Names and labels as metrics have them."""

        async def scenario(node: Life) -> None:
            await asyncio.to_thread(node.world.spread, _others(node.world, 1))
            await node.start()
            await node.ask("netloom_metrics", accept_answers.samples)
            await node.announce(_own(node.world, 1))
            await node.until_learned(_others(node.world, 1))
            await node.ask("netloom_metrics", accept_answers.samples)

        self._run(scenario)

    def _run(self, *lives: Scenario) -> None:
        """Each in a run of the agent's own."""

        async def live(world: RouterWorld, scenario: Scenario) -> None:
            await scenario(Life(world))

        with self.make_world() as world:
            for scenario in lives:
                world.run(partial(_asyncio_run, live, world, scenario))


def _asyncio_run(live: Callable[..., Any], *arguments: Any) -> None:
    asyncio.run(live(*arguments))


def _own(world: RouterWorld, *numbers: int) -> tuple[Network, ...]:
    """Of this node's pods."""
    return _prefixes(world, numbers, {4: "10.99.{}.0/24", 6: "fd00:99:{}::/64"})


def _others(world: RouterWorld, *numbers: int) -> tuple[Network, ...]:
    """Of somebody outside."""
    return _prefixes(world, numbers, {4: "20.99.{}.0/24", 6: "2001:db8:{}::/48"})


def _prefixes(world: RouterWorld, numbers: tuple[int, ...], texts: Mapping[int, str]) -> tuple[Network, ...]:
    return tuple(ip_network(texts[family].format(number)) for number in numbers for family in world.families)


async def _answered(query: Query) -> None:
    """Without parameters, and with each one odd."""
    asked = [{}, *({name: value} for name in query.parameters for value in ODD_VALUES)]
    for parameters in asked:
        what, said = f'query "{query.name}" {parameters}', "something"
        try:
            await in_time(what, partial(query.answer, parameters), accept_answers.answer)
        except NetloomError as error:
            said = str(error)
        assert said, f"{what} raised an error without a word"
