"""Learnt routes: the table holds what routers said last, whatever way led there; and not what no node may take."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.agent.learned import CHUNK, LearnedRoutes
from netloom.model.errors import KernelError
from netloom.plan.learned import Facts, Hops, Key, Rules, in_order, key_of, prefix_of
from netloom.plugins.contract import LearnedRoute, RouteChanges
from support.learned import MemoryRoutes, route
from support.turns import turns_during

FACTS = Facts(
    pod_cidrs=(ip_network("10.244.1.0/24"), ip_network("fd00:10:244:1::/64")),
    segments=(ip_network("192.0.2.0/24"),),
    addresses=(ip_address("192.0.2.1"),),
)
VIA, OTHER = "192.0.2.2", "192.0.2.3"
A, B, C = "10.1.0.0/16", "10.2.0.0/16", "fd00:3::/48"


def learned(table: MemoryRoutes, *routers: str, unheard: bool = False) -> LearnedRoutes:
    return LearnedRoutes(routers or ("bgp",), table, lambda: FACTS, unheard=unheard)


def key(prefix: str) -> Key:
    return key_of(ip_network(prefix))


def hops(*texts: str) -> Hops:
    return tuple(sorted(ip_address(text).packed for text in texts))


def shown(table: MemoryRoutes) -> dict[str, list[str]]:
    return {
        str(prefix_of(found)): [str(ip_address(hop)) for hop in table.routes[found]] for found in in_order(table.routes)
    }


async def told(routes: LearnedRoutes, *of: LearnedRoute, router: str = "bgp", **fields: Any) -> None:
    await routes.take(router, RouteChanges(routes=of, **fields))
    await routes.flush()


async def test_a_route_is_written_changed_and_withdrawn() -> None:
    table = MemoryRoutes()
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA))
    assert shown(table) == {A: [VIA]}
    await told(routes, route(A, OTHER, VIA))
    assert shown(table) == {A: [VIA, OTHER]}
    await told(routes, gone=(ip_network(A),))
    assert shown(table) == {}


async def test_nothing_is_written_before_the_table_was_read() -> None:
    """What an earlier run left would be put again, or taken for a stranger's."""
    table = MemoryRoutes()
    routes = learned(table)
    await told(routes, route(A, VIA))
    assert shown(table) == {}
    await routes.resync()
    assert shown(table) == {A: [VIA]}


async def test_what_an_earlier_run_left_stays_until_everything_was_told() -> None:
    """And what is told again as it stands is not written again."""
    table = MemoryRoutes({key(A): hops(VIA), key(B): hops(VIA)})
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA))
    assert shown(table) == {A: [VIA], B: [VIA]}
    assert table.writes == 0
    await told(routes, route(A, VIA), complete=True)
    assert shown(table) == {A: [VIA]}


async def test_what_an_earlier_run_left_stays_until_every_router_told_everything() -> None:
    table = MemoryRoutes({key(B): hops(VIA)})
    routes = learned(table, "first", "second")
    await routes.resync()
    await told(routes, router="first", complete=True)
    assert shown(table) == {B: [VIA]}
    await told(routes, router="second", complete=True)
    assert shown(table) == {}


async def test_what_an_earlier_run_left_goes_behind_what_takes_its_place() -> None:
    """However much there is, and although all was told before the table was read."""
    halves = [f"10.{number}.{half}.0/17" for number in range(256) for half in (0, 128)]
    table = MemoryRoutes({key(half): hops(VIA) for half in halves})
    routes = learned(table)
    deleted_with: list[int] = []
    write = table.write

    async def noted(puts: Any, deletes: Any) -> Any:
        done = await write(puts, deletes)
        deleted_with.extend(sum(found[0] == 16 for found in table.routes) for _ in deletes)
        return done

    table.write = noted  # type: ignore[method-assign]
    whole = [route(f"10.{number}.0.0/16", VIA) for number in range(256)]
    others = [route(f"11.{number}.{more}.0/24", VIA) for number in range(256) for more in range(8)]
    assert len(others) > CHUNK
    await told(routes, *others, *whole, complete=True)
    await routes.resync()
    assert set(deleted_with) == {256}


async def test_a_router_that_could_not_be_had_keeps_what_an_earlier_run_left() -> None:
    """A plugin that does not start costs no packet; its routes would not come back by themselves."""
    table = MemoryRoutes({key(B): hops(VIA)})
    routes = learned(table, unheard=True)
    await routes.resync()
    await told(routes, complete=True)
    assert shown(table) == {B: [VIA]}


async def test_without_routers_what_an_earlier_run_left_goes_at_once() -> None:
    table = MemoryRoutes({key(B): hops(VIA)})
    await LearnedRoutes((), table, lambda: FACTS).resync()
    assert shown(table) == {}


async def test_of_two_routers_the_first_wins_and_the_other_takes_over() -> None:
    table = MemoryRoutes()
    routes = learned(table, "first", "second")
    await routes.resync()
    await told(routes, route(A, OTHER), router="second")
    await told(routes, route(A, VIA), router="first")
    assert shown(table) == {A: [VIA]}
    await told(routes, gone=(ip_network(A),), router="first")
    assert shown(table) == {A: [OTHER]}


async def test_what_a_stranger_did_is_put_right_and_told() -> None:
    table = MemoryRoutes()
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA), route(B, VIA), complete=True)
    table.routes = {key(B): hops(OTHER), key(C): hops("fd00::2")}
    repairs = await routes.resync()
    assert shown(table) == {A: [VIA], B: [VIA]}
    assert {(repair.name, repair.action) for repair in repairs} == {
        (f"learnt {A}", "written"),
        (f"learnt {B}", "written"),
        (f"learnt {C}", "deleted"),
    }
    assert await routes.resync() == ()


async def test_many_repairs_are_told_as_one() -> None:
    table = MemoryRoutes()
    routes = learned(table)
    await routes.resync()
    await told(routes, *(route(f"10.9.{number}.0/24", VIA) for number in range(50)), complete=True)
    table.routes.clear()
    assert [(repair.name, repair.action) for repair in await routes.resync()] == [("50 learnt routes", "written")]


async def test_a_refused_route_is_told_once_and_tried_again_at_each_resync(capsys: pytest.CaptureFixture[str]) -> None:
    table = MemoryRoutes()
    table.refuses = {key(A): "out of reach", key(B): "out of reach"}
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA), route(B, VIA))
    await routes.resync()
    assert capsys.readouterr().out.count("out of reach") == 1
    assert routes.counts() == {"written": 0, "refused": 2, "waiting": 0}
    table.refuses = {}
    await routes.resync()
    assert shown(table) == {A: [VIA], B: [VIA]}
    assert routes.counts() == {"written": 2, "refused": 0, "waiting": 0}


async def test_a_change_that_is_refused_takes_the_old_route_away() -> None:
    """Nobody says any more that it leads there."""
    table = MemoryRoutes()
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA))
    table.refuses = {key(A): "out of reach"}
    await told(routes, route(A, OTHER))
    assert shown(table) == {}


async def test_a_kernel_that_takes_nothing_is_asked_again() -> None:
    class Away(MemoryRoutes):
        away = True

        async def write(self, puts: Any, deletes: Any) -> Any:
            if self.away:
                raise KernelError("write", "routes", 105)
            return await super().write(puts, deletes)

    table = Away()
    routes = learned(table)
    await routes.resync()
    with pytest.raises(KernelError):
        await told(routes, route(A, VIA))
    table.away = False
    await routes.flush()
    assert shown(table) == {A: [VIA]}


async def test_the_loop_writes_what_is_told_and_what_matters_first() -> None:
    """Withdrawals do not wait behind thousands of new routes."""
    table = MemoryRoutes()
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA))
    batches: list[int] = []
    write = table.write

    async def noted(puts: Any, deletes: Any) -> Any:
        batches.append(len(deletes))
        return await write(puts, deletes)

    table.write = noted  # type: ignore[method-assign]
    many = tuple(
        LearnedRoute(prefix=ip_network((0x0B000000 + n * 256, 24)), via=ip_address(VIA)) for n in range(3 * CHUNK)
    )
    await routes.take("bgp", RouteChanges(routes=many))
    await routes.take("bgp", RouteChanges(gone=(ip_network(A),)))
    running = asyncio.create_task(routes.run())
    while len(table.routes) < len(many):  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)
    running.cancel()
    assert batches[0] == 1


MANY = tuple(ip_network((0x0B000000 + number * 256, 24)) for number in range(5 * CHUNK))


@pytest.mark.parametrize(
    "changes",
    [
        RouteChanges(routes=tuple(LearnedRoute(prefix=prefix, via=ip_address(VIA)) for prefix in MANY)),
        RouteChanges(gone=MANY),
        RouteChanges(complete=True),
    ],
    ids=["told", "withdrawn", "no-longer-told"],
)
async def test_however_much_is_told_others_have_their_turn_meanwhile(changes: RouteChanges) -> None:
    routes = learned(MemoryRoutes())
    await routes.take("bgp", RouteChanges(routes=tuple(route(str(prefix), OTHER) for prefix in MANY)))
    assert await turns_during(routes.take("bgp", changes)) >= len(MANY) // CHUNK - 1


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("0.0.0.0/0", "default route"),
        ("::/0", "default route"),
        ("10.244.1.0/24", "lies in 10.244.1.0/24, which is for this node's own pods"),
        ("10.244.1.128/25", "lies in 10.244.1.0/24"),
        ("fd00:10:244:1::7/128", "lies in fd00:10:244:1::/64"),
        ("192.0.2.9/32", "part of 192.0.2.0/24, a segment"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.1.0/24", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("239.1.2.3/32", "multicast"),
        ("255.255.255.255/32", "reserved"),
        ("fe80::/64", "link-local"),
        ("ff02::1/128", "multicast"),
        ("::1/128", "loopback"),
        ("::ffff:10.0.0.0/104", "mapped"),
    ],
)
def test_what_no_router_may_lead_to_is_refused(prefix: str, words: str) -> None:
    assert words in Rules(FACTS).refusal(key(prefix), hops(VIA))


@pytest.mark.parametrize(
    "prefix",
    ["10.244.0.0/16", "192.0.0.0/8", "192.0.2.0/24", "10.244.2.0/24", "0.0.0.0/1", "fd00::/16", "64:ff9b::/96"],
)
def test_what_is_wider_than_what_this_node_has_is_taken(prefix: str) -> None:
    """The longest prefix wins, and that is this node's own."""
    assert Rules(FACTS).refusal(key(prefix), hops(VIA)) == ""


@pytest.mark.parametrize(("via", "words"), [("192.0.2.1", "this node itself"), ("fe80::1", "link-local")])
def test_a_next_hop_that_leads_nowhere_is_refused(via: str, words: str) -> None:
    assert words in Rules(FACTS).refusal(key(A), hops(via))


async def test_a_prefix_is_judged_anew_when_the_node_changes() -> None:
    """Refused and counted, taken, and refused again."""
    facts = FACTS
    table = MemoryRoutes()
    routes = LearnedRoutes(("bgp",), table, lambda: facts)
    await routes.resync()
    await told(routes, route("10.244.1.0/25", VIA))
    assert (shown(table), routes.counts()["refused"]) == ({}, 1)
    facts = Facts()
    await routes.resync()
    assert shown(table) == {"10.244.1.0/25": [VIA]}
    facts = FACTS
    await routes.resync()
    assert (shown(table), routes.counts()["refused"]) == ({}, 1)


PREFIXES = st.sampled_from([A, B, C, "10.1.2.0/24", "0.0.0.0/0"])
ROUTES = st.builds(
    lambda prefix, number: route(prefix, f"fd00::{number}" if ":" in prefix else f"192.0.2.{number}"),
    PREFIXES,
    st.integers(2, 4),
)
BATCHES = st.builds(
    lambda router, routes, gone, complete: (
        router,
        RouteChanges(routes=tuple(routes), gone=tuple(map(ip_network, gone)), complete=complete),
    ),
    st.sampled_from(["first", "second"]),
    st.lists(ROUTES, max_size=4),
    st.lists(PREFIXES, max_size=2),
    st.booleans(),
)
STEPS = st.lists(st.one_of(BATCHES, st.sampled_from(["flush", "resync", "damage"])), max_size=12)


def oracle(steps: list[Any]) -> dict[Key, Hops]:
    """What stands after all batches, the slow obvious way."""
    stands: dict[str, dict[Key, Hops]] = {"first": {}, "second": {}}
    for step in steps:
        if isinstance(step, tuple):
            router, changes = step
            if changes.complete:
                stands[router] = {}
            stands[router] |= {key_of(each.prefix): hops(str(each.via)) for each in changes.routes}
            for prefix in changes.gone:
                stands[router].pop(key_of(prefix), None)
    return {found: way for found, way in (stands["second"] | stands["first"]).items() if found[0]}


@settings(max_examples=200)
@given(STEPS)
def test_any_sequence_leaves_what_was_told_last(steps: list[Any]) -> None:
    """Whenever it is written or compared, and whatever strangers do between."""

    async def run() -> None:
        table = MemoryRoutes({key(A): hops("192.0.2.9"), key("10.7.0.0/16"): hops("192.0.2.9")})
        routes = learned(table, "first", "second")
        await routes.resync()
        for step in steps:
            if isinstance(step, tuple):
                await routes.take(*step)
            elif step == "damage":
                table.routes.pop(key(A), None)
                table.routes[key("10.6.0.0/16")] = hops("192.0.2.9")
            else:
                await (routes.flush() if step == "flush" else routes.resync())
        for router in ("first", "second"):
            told_last = list(oracle_of(router, steps).values())
            await routes.take(router, RouteChanges(routes=tuple(told_last), complete=True))
        await routes.resync()
        assert table.routes == oracle(steps)

    def oracle_of(router: str, steps: list[Any]) -> dict[Key, LearnedRoute]:
        stands: dict[Key, LearnedRoute] = {}
        for step in steps:
            if isinstance(step, tuple) and step[0] == router:
                stands = {} if step[1].complete else stands
                stands |= {key_of(each.prefix): each for each in step[1].routes}
                for prefix in step[1].gone:
                    stands.pop(key_of(prefix), None)
        return stands

    asyncio.run(run())
