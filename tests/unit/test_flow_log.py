"""What is kept of events: bounded, with what was known when each was read; listeners never hold up anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent import monitor
from netloom.agent.flow_log import FlowLog, Item, Loss, Record, Where
from netloom.agent.monitor import Listener
from netloom.agent.residents import Resident, Residents
from netloom.agent.witness import Witness
from netloom.datapath import reasons
from netloom.datapath.connections import Tracking
from netloom.datapath.events import kinds_of
from netloom.datapath.reasons import DropReason
from netloom.model.flow import FlowKind
from netloom.model.identity import IdentityId, Reserved
from netloom.policy.repository import Repository
from support.flows import TRACE, VERDICT, event
from support.policy_oracle import labels, policy, section

A, B = IdentityId(256), IdentityId(257)
NEAR, FAR = ip_address("10.0.0.2"), ip_address("10.0.0.1")
LOSS = Loss(where=Where.RING, count=3, at_ns=5)


@pytest.fixture
def residents() -> Residents:
    """The event's two ends: its destination is a pod of this node."""
    found = Residents()
    found.put("near", [NEAR, ip_address("fd00::2")], Resident("shop/web", 7))
    found.put("far", [FAR], Resident("shop/client"))
    return found


@pytest.fixture
def repository() -> Repository:
    one = Repository()
    one.add_identities({A: labels("app=a"), B: labels("app=b")})
    one.add_subjects(A, B)
    one.upsert(policy("closed", ingress=section()))
    return one


@pytest.fixture
def witness(repository: Repository, residents: Residents) -> Witness:
    return Witness(repository, residents.at)


# --- what is known when an event is read --------------------------------------------------------


def test_an_event_is_kept_with_names_labels_and_cause(witness: Witness) -> None:
    flow = witness.note(event(), 5).flow()
    assert (flow.at_ns, flow.source_pod, flow.destination_pod) == (5, "shop/client", "shop/web")
    assert (flow.source_labels, flow.destination_labels) == (labels("app=b"), labels("app=a"))
    assert flow.because is not None
    assert [name.name for name in flow.because.policies] == ["closed"]


def test_what_was_known_stays_whatever_becomes_of_pods_and_policies(
    witness: Witness, repository: Repository, residents: Residents
) -> None:
    record = witness.note(event(), 5)
    residents.drop("near", [NEAR])
    repository.remove(*(policy.name for policy in repository.policies))
    repository.add_identity(A, labels("app=other"))
    flow = record.flow()
    assert (flow.destination_pod, flow.destination_labels) == ("shop/web", labels("app=a"))
    assert flow.because is not None
    assert flow.because.isolated_by


@pytest.mark.parametrize(
    ("direction", "tracking"), [(reasons.Direction.INGRESS, Tracking.NEW), (reasons.Direction.EGRESS, Tracking.REPLY)]
)
def test_a_verdict_is_about_the_endpoint_that_was_asked(witness: Witness, direction: int, tracking: int) -> None:
    """The event names the packet's endpoint; between two pods of one node both are asked."""
    raw = event(**VERDICT, direction=direction, tracking=tracking, endpoint_id=3)
    assert witness.note(raw, 5).flow().endpoint_id == 7


def test_an_endpoint_that_is_not_known_is_the_one_that_the_event_names(witness: Witness) -> None:
    assert witness.note(event(destination="10.0.0.9", endpoint_id=3), 5).flow().endpoint_id == 3


def test_other_drops_have_names_but_no_cause(witness: Witness) -> None:
    flow = witness.note(event(code=DropReason.TTL_EXCEEDED, endpoint_id=3), 5).flow()
    assert (flow.because, flow.source_pod, flow.endpoint_id) == (None, "shop/client", 3)


def test_reserved_identities_have_their_label(witness: Witness) -> None:
    flow = witness.note(event(source_identity=Reserved.WORLD), 5).flow()
    assert flow.source_labels == frozenset({Reserved.WORLD.label})


def test_where_policies_are_never_enforced_nobody_is_a_cause(repository: Repository, residents: Residents) -> None:
    assert Witness(repository, residents.at, explains=False).note(event(**VERDICT), 5).because is None


@given(st.binary(max_size=240), st.sampled_from([b"", event()[:56], event("fd00::1", "fd00::2")[:60]]))
def test_no_bytes_whatever_stop_the_reader(raw: bytes, head: bytes) -> None:
    found = Witness(Repository(), Residents().at).note(head + raw, 5)
    assert found.flow().at_ns == 5


# --- who has an address -------------------------------------------------------------------------


def test_an_address_that_passed_on_is_not_taken_from_its_new_owner(residents: Residents) -> None:
    """A pod's address may be given again before everybody has heard that it went."""
    residents.put("next", [NEAR], Resident("shop/next", 8))
    residents.drop("near", [NEAR])
    assert residents.at(NEAR.packed) == Resident("shop/next", 8)


# --- the log ------------------------------------------------------------------------------------


def records(*times: int) -> list[Item]:
    return [Record(raw=event(), at_ns=at) for at in times]


def test_the_oldest_makes_room_for_the_newest() -> None:
    log = FlowLog(3)
    log.extend(records(1, 2))
    log.extend(records(3, 4))
    assert [flow.at_ns for flow in log.recent()] == [2, 3, 4]


def test_a_loss_stands_where_the_events_would_and_is_no_flow() -> None:
    log = FlowLog(10)
    log.extend([*records(1), LOSS, *records(9)])
    assert [item.at_ns for item in log.items()] == [1, 5, 9]
    assert [flow.at_ns for flow in log.recent()] == [1, 9]


def test_the_log_may_grow_while_somebody_looks() -> None:
    log = FlowLog(3)
    log.extend(records(1, 2, 3))
    looking = log.recent()
    next(looking)
    log.extend(records(4, 5))
    assert [flow.at_ns for flow in looking] == [2, 3]


# --- listeners ----------------------------------------------------------------------------------


def handed(items: Iterable[Item]) -> list[tuple[Item, frozenset[FlowKind]]]:
    return [(item, kinds_of(item.raw) if isinstance(item, Record) else frozenset()) for item in items]


async def test_a_listener_gets_the_kinds_it_asked_for_and_every_loss() -> None:
    listener = Listener({FlowKind.VERDICT})
    wanted: list[Item] = [Record(raw=event(**VERDICT), at_ns=1), Record(raw=event(), at_ns=2), LOSS]
    others: list[Item] = [Record(raw=event(**TRACE), at_ns=3), Record(raw=event(code=DropReason.TOO_BIG), at_ns=4)]
    listener.push(handed(others + wanted))
    assert await listener.next() == tuple(wanted)


async def test_a_listener_that_reads_slowly_hears_what_it_lost_when_it_has_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(monitor, "QUEUE_ITEMS", 5)
    monkeypatch.setattr(monitor, "TAKEN_ITEMS", 3)
    listener = Listener({FlowKind.DROP})
    listener.push(handed(records(*range(8))))
    first, second = await listener.next(), await listener.next()
    assert [item.at_ns for item in first] == [0, 1, 2]
    *last, loss = second
    assert [item.at_ns for item in last] == [3, 4]
    assert isinstance(loss, Loss)
    assert (loss.where, loss.count) == (Where.LISTENER, 3)


async def test_a_listener_waits_until_there_is_something() -> None:
    listener = Listener({FlowKind.DROP})
    listener.push(handed([Record(raw=event(**TRACE), at_ns=1)]))
    waiting = asyncio.ensure_future(listener.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    listener.push(handed(records(2)))
    assert [item.at_ns for item in await waiting] == [2]
