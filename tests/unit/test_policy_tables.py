"""Services, prefixes and tables, piece by piece: what the kernel's lookups rely on."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.address import Address, Network, pack, pack_prefix
from netloom.model.errors import Invalid, NotFound
from netloom.model.identity import IdentityId, Reserved
from netloom.model.policy import CidrPeer, Icmp, Operator, Policy, Ports, Protocol, Requirement, Selector
from netloom.policy.cidrs import FIRST_PREFIX, Prefixes
from netloom.policy.ports import ICMP, ICMPV6, TCP, UDP, exactly, holds, plain_services, port_prefixes
from netloom.policy.repository import Repository
from netloom.policy.selection import has_policy, selects
from netloom.policy.table import (
    ALLOW,
    ANY_PEER,
    DENY,
    ENDPOINTS,
    Direction,
    Isolation,
    PolicyKey,
    PolicyTable,
    Remote,
    Verdict,
)
from support.policy_oracle import cidr, endpoints, entity, entry, labels, policy, section, select, tcp
from support.policy_worlds import ADDRESSES, cidr_peers

A, B = IdentityId(256), IdentityId(257)
HOST, WORLD = IdentityId(Reserved.HOST), IdentityId(Reserved.WORLD)
ranges = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda pair: (min(pair), max(pair)))


def table_of(*policies: Policy, allow_host: bool = True) -> PolicyTable:
    """That of A, with B beside it."""
    repository = Repository(allow_host=allow_host)
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.upsert(*policies)
    return repository.table(A)


# --- services -----------------------------------------------------------------------------------


@given(ranges)
def test_a_range_is_prefixes_that_join_without_gap_and_at_most_thirty(found: tuple[int, int]) -> None:
    first, last = found
    prefixes = list(port_prefixes(first, last))
    assert len(prefixes) <= 30
    for port, bits in prefixes:
        assert port == first
        assert port % (1 << (16 - bits)) == 0
        first = port + (1 << (16 - bits))
    assert first == last + 1


def test_the_worst_range_has_thirty_prefixes() -> None:
    assert len(list(port_prefixes(1, 65534))) == 30


@given(ranges, st.integers(0, 65535))
def test_one_service_of_a_range_holds_a_port_inside_and_none_holds_another(found: tuple[int, int], port: int) -> None:
    services = plain_services((Ports(Protocol.TCP, *found),))
    holding = [one for one in services if holds(one, exactly(TCP, port))]
    assert len(holding) == (found[0] <= port <= found[1])
    assert all(one.port <= port <= one.last_port for one in holding)


def test_types_of_icmp_stand_where_ports_do_and_never_meet_them() -> None:
    services = plain_services((Icmp(4, 8), Icmp(6, 128), Ports(Protocol.ANY)))
    assert {exactly(ICMP, 8), exactly(ICMPV6, 128)} < services
    assert not any(holds(one, exactly(ICMP, 0)) for one in services)


# --- selectors ----------------------------------------------------------------------------------


def test_reserved_identities_are_selected_by_a_word_about_their_label_alone() -> None:
    world = frozenset({Reserved.WORLD.label})
    assert not selects(Selector(), world)
    assert not selects(Selector((Requirement("k8s", "app", Operator.NOT_IN, ("a",)),)), world)
    assert selects(Selector((Requirement("reserved", "world", Operator.EXISTS),)), world)
    assert selects(Selector(), labels("app=a"))


def test_endpoints_have_policies_and_nodes_the_world_and_strangers_have_none() -> None:
    assert has_policy(labels("app=a"))
    assert has_policy(frozenset({Reserved.HEALTH.label}))
    assert not has_policy(frozenset({Reserved.HOST.label}))
    assert not has_policy(None)


# --- prefixes -----------------------------------------------------------------------------------


def kernel_lookup(entries: Mapping[Network, int], address: Address) -> int:
    """One trie over 16 bytes for both families, as the kernel has it."""
    found = (-1, 0)
    bits = int.from_bytes(pack(address), "big")
    for network, number in entries.items():
        length, raw = pack_prefix(network)
        if bits >> (128 - length) == int.from_bytes(raw, "big") >> (128 - length):
            found = max(found, (length, number))
    return found[1]


@given(st.lists(cidr_peers(), max_size=5), st.sampled_from(ADDRESSES))
def test_one_lookup_for_both_families_finds_the_most_specific_prefix(peers: list[CidrPeer], address: Address) -> None:
    prefixes = Prefixes()
    for peer in peers:
        prefixes.acquire(peer)
    assert kernel_lookup(prefixes.entries(), address) == prefixes.number_of(address)


@given(st.lists(cidr_peers(), max_size=5))
def test_when_all_is_released_nothing_is_left(peers: list[CidrPeer]) -> None:
    prefixes = Prefixes()
    groups = [prefixes.acquire(peer)[0] for peer in peers]
    for group in groups:
        prefixes.release(group)
    assert prefixes.entries() == {}


def test_an_ipv4_address_is_not_found_in_a_prefix_of_ipv6() -> None:
    prefixes = Prefixes()
    prefixes.acquire(cidr("::/0"))
    assert prefixes.entries()[ip_network("0.0.0.0/0")] == 0


def test_a_number_stays_while_one_user_is_left_and_is_not_given_again_at_once() -> None:
    prefixes = Prefixes()
    first, _ = prefixes.acquire(cidr("10.0.0.0/8"))
    second, _ = prefixes.acquire(cidr("10.0.0.0/8", with_endpoints=True))
    prefixes.release(first)
    assert prefixes.number_of(ip_address("10.0.0.1")) == FIRST_PREFIX
    prefixes.release(second)
    prefixes.acquire(cidr("10.0.0.0/8"))
    assert prefixes.number_of(ip_address("10.0.0.1")) == FIRST_PREFIX + 1


def test_after_a_restart_a_prefix_has_the_number_it_had() -> None:
    prefixes = Prefixes({ip_network("10.0.0.0/8"): FIRST_PREFIX})
    prefixes.acquire(cidr("192.0.2.0/24"))
    prefixes.acquire(cidr("10.0.0.0/8"))
    assert prefixes.number_of(ip_address("10.0.0.1")) == FIRST_PREFIX
    assert prefixes.number_of(ip_address("192.0.2.1")) == FIRST_PREFIX + 1


def test_a_policy_in_place_of_another_keeps_the_numbers_of_the_prefixes_both_name() -> None:
    repository = Repository()
    repository.upsert(policy("p", ingress=section(entry(cidr("10.0.0.0/8")))))
    before = repository.prefixes()
    repository.upsert(policy("p", ingress=section(entry(cidr("10.0.0.0/8"), cidr("10.1.0.0/16")))))
    assert before.items() <= repository.prefixes().items()


# --- tables -------------------------------------------------------------------------------------


def test_without_policies_everything_passes_and_the_table_is_empty() -> None:
    assert table_of() == PolicyTable()
    assert table_of().decide(Direction.INGRESS, Remote(B), TCP, 80).verdict is Verdict.ALLOWED


def test_keys_have_the_lengths_of_what_they_say() -> None:
    found = table_of(
        policy(
            "p",
            egress=section(
                entry(path="all"),
                entry(endpoints(app="b"), to=(Ports(Protocol.TCP), tcp(80, 81)), path="b"),
                entry(to=(Icmp(4, 8),), path="ping"),
            ),
        )
    )
    assert {key for key, _ in found.entries()} == {
        PolicyKey(40, ANY_PEER, Direction.EGRESS, 0, 0),
        PolicyKey(64, ANY_PEER, Direction.EGRESS, ICMP, 8),
        PolicyKey(48, B, Direction.EGRESS, TCP, 0),
    }


def test_an_allowance_below_a_wider_denial_denies_and_needs_no_entry() -> None:
    found = table_of(
        policy(
            "p",
            ingress=section(
                entry(endpoints(app="b"), to=(tcp(80),), path="allow"),
                deny=(entry(endpoints(app="b"), path="deny"),),
            ),
        )
    )
    assert {key.prefix_bits: value.effects for key, value in found.entries() if key.peer == B} == {40: DENY}


def test_a_denial_for_one_key_beats_an_allowance_for_another_whichever_is_narrower() -> None:
    allow = entry(endpoints(app="b"), to=(tcp(80),))
    found = table_of(policy("p", ingress=section(allow, deny=(entry(to=(tcp(0, 1023),)),))))
    assert found.decide(Direction.INGRESS, Remote(B), TCP, 80).verdict is Verdict.DENIED


def test_a_cidr_peer_means_the_world_unless_it_says_endpoints_too() -> None:
    repository = Repository()
    repository.add_identity(A, labels("app=a"))
    for passes in (False, True):
        repository.upsert(policy("p", ingress=section(entry(cidr("10.0.0.0/8", with_endpoints=passes)))))
        table, address = repository.table(A), ip_address("10.2.0.1")
        assert table.decide(Direction.INGRESS, repository.remote(WORLD, address), TCP, 80).verdict.passes
        assert table.decide(Direction.INGRESS, repository.remote(B, address), TCP, 80).verdict.passes == passes
    assert Remote(B, FIRST_PREFIX).peers == (B, ANY_PEER, FIRST_PREFIX | ENDPOINTS)


def test_what_is_taken_out_of_a_network_is_allowed_again_only_by_who_names_it() -> None:
    """An exception of one policy takes nothing from another."""
    repository = Repository()
    repository.add_identity(A, labels("app=a"))
    outer = policy("outer", ingress=section(entry(cidr("10.0.0.0/8", "10.1.0.0/16"))))
    inner = policy("inner", ingress=section(entry(cidr("10.1.1.0/24"))))

    def passing() -> list[str]:
        return [
            text
            for text in ("10.9.0.1", "10.1.0.1", "10.1.1.1")
            for remote in (repository.remote(WORLD, ip_address(text)),)
            if repository.table(A).decide(Direction.INGRESS, remote, TCP, 80).verdict.passes
        ]

    repository.upsert(outer)
    assert passing() == ["10.9.0.1"]
    repository.upsert(inner)
    assert passing() == ["10.9.0.1", "10.1.1.1"]


def test_a_prefix_that_another_policy_brings_or_takes_changes_no_verdict() -> None:
    """Addresses move to the number of the new prefix, so all tables that hold the wider one must know it."""
    repository = Repository()
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.add_subjects(A)
    repository.upsert(policy("wide", select(app="a"), ingress=section(entry(cidr("10.0.0.0/8")))))
    other = policy("other", select(app="b"), ingress=section(entry(cidr("10.1.0.0/16"))))
    alone = repository.tables[A]
    assert repository.upsert(other).tables.keys() == {A}
    remote = repository.remote(WORLD, ip_address("10.1.0.1"))
    assert repository.tables[A].decide(Direction.INGRESS, remote, TCP, 80).verdict.passes
    assert repository.remove(other.name).tables == {A: alone}


def test_the_world_of_one_family_does_not_hold_the_other() -> None:
    repository = Repository()
    repository.add_identity(A, labels("app=a"))
    repository.upsert(policy("p", ingress=section(entry(entity("world-ipv6")))))
    for address, passes in (("2001:db8::1", True), ("192.0.2.1", False)):
        remote = repository.remote(WORLD, ip_address(address))
        assert repository.table(A).decide(Direction.INGRESS, remote, TCP, 80).verdict.passes == passes


def test_the_node_reaches_its_pods_unless_the_setting_or_a_denial_says_otherwise() -> None:
    isolated = policy("p", ingress=section())
    denied = policy("d", ingress=section(deny=(entry(entity("host")),)))

    def passes(table: PolicyTable) -> bool:
        return table.decide(Direction.INGRESS, Remote(HOST), UDP, 53).verdict.passes

    assert passes(table_of(isolated))
    assert not passes(table_of(isolated, allow_host=False))
    assert not passes(table_of(isolated, denied))


def test_an_audit_policys_allowance_opens_nothing_that_an_enforced_policy_closes() -> None:
    found = table_of(
        policy("closed", ingress=section()), policy("later", ingress=section(entry(endpoints(app="b"))), audit=True)
    )
    assert found.ingress.isolation is Isolation.ENFORCED
    assert found.decide(Direction.INGRESS, Remote(B), TCP, 80).verdict is Verdict.DENIED_BY_DEFAULT


def test_an_audit_policys_isolation_is_reported_and_nothing_more() -> None:
    found = table_of(policy("later", ingress=section(entry(endpoints(app="b"))), audit=True))
    assert found.decide(Direction.INGRESS, Remote(B), TCP, 80).verdict is Verdict.ALLOWED
    assert found.decide(Direction.INGRESS, Remote(A), TCP, 80).verdict is Verdict.AUDITED_BY_DEFAULT


def test_a_named_port_is_the_subjects_on_ingress_and_the_peers_on_egress() -> None:
    repository = Repository()
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.set_named_ports(A, {"http": frozenset({(Protocol.TCP, 80)})})
    repository.set_named_ports(B, {"http": frozenset({(Protocol.TCP, 8080)})})
    http = (Ports(Protocol.ANY, name="http"),)
    repository.upsert(policy("p", ingress=section(entry(to=http)), egress=section(entry(to=http))))
    table = repository.table(A)
    for direction, peer, port in ((Direction.INGRESS, B, 80), (Direction.EGRESS, B, 8080), (Direction.EGRESS, A, 80)):
        passing = [one for one in (80, 8080) if table.decide(direction, Remote(peer), TCP, one).verdict.passes]
        assert passing == [port]


def test_a_name_of_a_port_stands_for_nothing_towards_addresses() -> None:
    """Not even where endpoints have them: a key holds an identity or a prefix, never both."""
    repository = Repository()
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.set_named_ports(B, {"http": frozenset({(Protocol.TCP, 80)})})
    named = entry(cidr("10.0.0.0/8", with_endpoints=True), to=(Ports(Protocol.TCP, name="http"),))
    repository.upsert(policy("p", egress=section(named)))
    assert list(repository.table(A).entries()) == []


def test_tables_follow_names_of_ports_at_both_ends() -> None:
    repository = Repository()
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.add_subjects(A, B)
    http = (Ports(Protocol.TCP, name="http"),)
    repository.upsert(
        policy(
            "p", select(app="a"), ingress=section(entry(to=http)), egress=section(entry(endpoints(app="b"), to=http))
        )
    )
    for identity, direction in ((A, Direction.INGRESS), (B, Direction.EGRESS)):
        update = repository.set_named_ports(identity, {"http": frozenset({(Protocol.TCP, 80)})})
        assert update.tables.keys() == {A}
        assert update.tables[A].decide(direction, Remote(B), TCP, 80).verdict.passes
        update = repository.set_named_ports(identity, {})
        assert not update.tables[A].decide(direction, Remote(B), TCP, 80).verdict.passes


def test_an_identity_that_is_gone_leaves_no_entry() -> None:
    repository = Repository()
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.add_subjects(A)
    repository.upsert(policy("p", select(app="a"), egress=section(entry(endpoints(app="b")))))
    assert list(repository.remove_identity(B).tables[A].entries()) == []


# --- the repository -----------------------------------------------------------------------------


def test_a_subject_whose_labels_are_not_known_has_no_table() -> None:
    """An empty one would let everything pass."""
    repository = Repository()
    assert repository.add_subjects(A).tables == {}
    with pytest.raises(NotFound):
        repository.table(A)
    assert repository.add_identity(A, labels("app=a")).tables.keys() == {A}
    assert repository.remove_identity(A).gone == {A}


def test_a_change_tells_only_of_subjects_whose_tables_are_others_now() -> None:
    repository = Repository()
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.add_subjects(A, B)
    one = policy("p", select(app="a"), ingress=section(entry(endpoints(app="b"))))
    assert repository.upsert(one).tables.keys() == {A}
    assert repository.upsert(one).tables == {}
    assert repository.add_identity(IdentityId(300), labels("app=b")).tables.keys() == {A}
    assert repository.remove(one.name).tables == {A: PolicyTable()}


def test_revisions_count_changes_of_policies() -> None:
    repository = Repository()
    one = policy("p")
    assert repository.upsert(one).revision == 1
    assert repository.add_identity(A, labels("app=a")).revision == 1
    assert repository.remove(one.name).revision == 2


def test_reserved_identities_cannot_be_removed() -> None:
    with pytest.raises(Invalid, match="reserved"):
        Repository().remove_identity(WORLD)


def test_subjects_of_the_same_rules_share_their_slices() -> None:
    repository = Repository()
    repository.add_identities({A: labels("app=a"), B: labels("app=b")})
    repository.add_subjects(A, B)
    repository.upsert(policy("p", ingress=section(entry(endpoints(app="b"), to=(tcp(80),)))))
    one, other = (repository.tables[number].ingress.slices[B] for number in (A, B))
    assert one is other
    assert next(iter(one.entries.values())).effects == ALLOW
