"""Tables against the evaluator that has none, and the law of state: random policies, identities, packets, events."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from netloom.model.address import Network
from netloom.model.identity import IdentityId
from netloom.model.policy import Policy, PolicyName
from netloom.policy.ports import NamedPorts
from netloom.policy.repository import Repository
from netloom.policy.table import (
    ALLOW,
    AUDIT_ALLOW,
    AUDIT_DENY,
    DENY,
    ENDPOINTS,
    INSPECT,
    REDIRECT,
    WATCH,
    Direction,
    PolicyEntry,
    PolicyTable,
    difference,
)
from support.policy_oracle import Packet, Peerage, Standing, evaluate
from support.policy_worlds import (
    POOL,
    identity_numbers,
    named_ports,
    packets,
    policies,
    policy_names,
    remotes,
    repository_of,
    standings,
)


def build(standing: Standing) -> Repository:
    """All identities being subjects."""
    return repository_of(standing, *POOL)


@given(standings, st.sampled_from(Direction), st.lists(st.tuples(remotes, packets), min_size=10, max_size=20))
def test_a_table_decides_as_the_policies_say(
    standing: Standing, direction: Direction, asked: list[tuple[Peerage, Packet]]
) -> None:
    repository = build(standing)
    for subject, table in repository.tables.items():
        for remote, packet in asked:
            known = repository.remote(remote.identity, remote.address)
            decision = table.decide(direction, known, packet.protocol, packet.port)
            assert decision.verdict == evaluate(standing, direction, subject, remote, packet)


@given(standings)
def test_values_are_in_normal_form_with_the_sources_of_each_effect(standing: Standing) -> None:
    plain = (0, ALLOW, REDIRECT, ALLOW | AUDIT_DENY, REDIRECT | AUDIT_DENY, AUDIT_DENY, AUDIT_ALLOW)
    forms = {DENY, *(one | asked for one in plain for asked in (0, INSPECT, WATCH))} - {0}
    for table in build(standing).tables.values():
        for _, entry in table.entries():
            assert entry.effects in forms
            together = 0
            for source in entry.sources:
                together |= source.effect
            assert together == entry.effects


# --- the law of state ---------------------------------------------------------------------------

Event = Callable[[Repository, Standing], None]


def upsert(policy: Policy) -> Event:
    def act(repository: Repository, standing: Standing) -> None:
        repository.upsert(policy)
        standing.policies[policy.name] = policy

    return act


def remove(name: PolicyName) -> Event:
    def act(repository: Repository, standing: Standing) -> None:
        repository.remove(name)
        standing.policies.pop(name, None)

    return act


def add(identity: IdentityId, as_if: IdentityId) -> Event:
    """Sometimes with the labels of another one: a number that was given anew."""

    def act(repository: Repository, standing: Standing) -> None:
        repository.add_identity(identity, POOL[as_if])
        standing.identities[identity] = POOL[as_if]

    return act


def forget(identity: IdentityId) -> Event:
    def act(repository: Repository, standing: Standing) -> None:
        repository.remove_identity(identity)
        standing.identities.pop(identity, None)

    return act


def name(identity: IdentityId, names: NamedPorts) -> Event:
    def act(repository: Repository, standing: Standing) -> None:
        repository.set_named_ports(identity, names)
        standing.names[identity] = names

    return act


def wanted_anew(identity: IdentityId) -> Event:
    def act(repository: Repository, _standing: Standing) -> None:
        repository.remove_subjects(identity)
        repository.add_subjects(identity)

    return act


events = st.one_of(
    st.builds(upsert, policies),
    st.builds(upsert, policies),
    st.builds(remove, policy_names),
    st.builds(add, identity_numbers, identity_numbers),
    st.builds(forget, identity_numbers),
    st.builds(name, identity_numbers, named_ports),
    st.builds(wanted_anew, identity_numbers),
)
Spelled = dict[tuple[Direction, int | tuple[Network, bool], tuple[int, int, int]], PolicyEntry]


def spelled(repository: Repository, table: PolicyTable) -> Spelled:
    """A table's entries with prefixes in place of their numbers, which history gives."""
    return {
        (
            key.direction,
            key.peer if network is None else (network, bool(key.peer & ENDPOINTS)),
            (key.prefix_bits, key.protocol, key.port),
        ): entry
        for key, entry in table.entries()
        for network in (repository.network_of(key.peer),)
    }


@given(standings, st.lists(events, min_size=1, max_size=8))
def test_tables_depend_on_what_stands_and_not_on_how_it_came(standing: Standing, steps: list[Event]) -> None:
    repository = build(standing)
    for step in steps:
        step(repository, standing)
    fresh = build(standing)
    assert repository.tables.keys() == fresh.tables.keys()
    for subject, table in repository.tables.items():
        again = fresh.tables[subject]
        assert spelled(repository, table) == spelled(fresh, again)
        assert (table.ingress.isolating, table.egress.isolating) == (again.ingress.isolating, again.egress.isolating)
    assert set(repository.prefixes()) == set(fresh.prefixes())


@given(st.lists(events, max_size=10), events)
def test_an_update_tells_of_exactly_the_tables_that_changed(steps: list[Event], last: Event) -> None:
    """Found by comparing everything before and after."""
    repository, standing = Repository(), Standing()
    repository.add_subjects(*POOL)
    told: dict[IdentityId, PolicyTable] = {}
    for method in ("upsert", "remove", "add_identities", "remove_identity", "add_subjects", "remove_subjects"):
        _listen(repository, method, told)
    _listen(repository, "set_named_ports", told)
    for step in (*steps, last):
        before = dict(repository.tables)
        told_before = dict(told)
        step(repository, standing)
        assert told == repository.tables
        for subject in before.keys() & told.keys():
            if before[subject] == told[subject]:
                assert told_before[subject] == told[subject]


def _listen(repository: Repository, method: str, told: dict[IdentityId, PolicyTable]) -> None:
    """Keeps what an agent would know that hears updates alone."""
    real = getattr(repository, method)

    def heard(*arguments: object) -> object:
        update = real(*arguments)
        told.update(update.tables)
        for identity in update.gone:
            del told[identity]
        return update

    setattr(repository, method, heard)


@given(standings, st.lists(events, min_size=1, max_size=4))
def test_a_difference_leads_from_one_table_to_the_next(standing: Standing, steps: list[Event]) -> None:
    repository = build(standing)
    before = dict(repository.tables)
    for step in steps:
        step(repository, standing)
    for subject, new in repository.tables.items():
        old = before.get(subject, PolicyTable())
        kernel = {key: entry.effects for key, entry in old.entries()}
        change, size = difference(old, new), len(kernel)
        for key in change.deletes:
            del kernel[key]
        kernel.update(change.upserts)
        assert kernel == {key: entry.effects for key, entry in new.entries()}
        assert change.growth == len(kernel) - size
        assert difference(new, new).upserts == {}
