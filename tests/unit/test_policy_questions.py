"""Ends and services of a packet, from words."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.errors import Invalid, NotFound
from netloom.model.identity import IdentityId, Reserved
from netloom.model.policy import Protocol
from netloom.policy.cidrs import regions
from netloom.policy.questions import Known, Party, Pod, family_for, find_party, free_numbers, read_service
from netloom.policy.repository import Repository
from support.policy_oracle import cidr, entry, labels, policy, section
from support.policy_worlds import ADDRESSES, NETWORKS

WEB, DB = IdentityId(256), IdentityId(257)
V4, V6 = ip_address("10.244.1.2"), ip_address("fd00::2")
PODS = (
    Pod(name="shop/web", number=7, identity=WEB, addresses=(V4, V6)),
    Pod(name="shop/same", number=8, identity=DB, addresses=(ip_address("10.244.1.3"),)),
    Pod(name="bank/same", number=9, identity=DB, addresses=(ip_address("10.244.1.4"),)),
)


@pytest.fixture
def known() -> Known:
    repository = Repository()
    repository.add_identities({WEB: labels("app=web", "tier=a"), DB: labels("app=db")})
    owners = {address: pod.identity for pod in PODS for address in pod.addresses}
    return Known(
        pods=PODS,
        gateways=(ip_address("10.244.1.1"),),
        identity_at=lambda address: owners.get(address, Reserved.WORLD),
        repository=repository,
    )


def facts(parties: tuple[Party, ...]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(party.name, party.identity, tuple(map(str, party.addresses))) for party in parties]


@pytest.mark.parametrize(
    ("text", "name", "identity", "addresses"),
    [
        ("web", "shop/web", WEB, (str(V4), str(V6))),
        ("shop/web", "shop/web", WEB, (str(V4), str(V6))),
        ("ep:9", "bank/same", DB, ("10.244.1.4",)),
        ("id:256", "id:256", WEB, (str(V4), str(V6))),
        ("id:1", "host", Reserved.HOST, ("10.244.1.1",)),
        ("tier=a,k8s:app=web", "k8s:app=web,k8s:tier=a", WEB, (str(V4), str(V6))),
        ("10.244.1.2", "10.244.1.2 (shop/web)", WEB, ("10.244.1.2",)),
        ("::ffff:10.244.1.2", "10.244.1.2 (shop/web)", WEB, ("10.244.1.2",)),
        ("198.51.100.7", "198.51.100.7", Reserved.WORLD, ("198.51.100.7",)),
        ("198.51.100.0/24", "198.51.100.0/24", Reserved.WORLD, ("198.51.100.0",)),
        ("198.51.100.7/32", "198.51.100.7", Reserved.WORLD, ("198.51.100.7",)),
        ("host", "host", Reserved.HOST, ("10.244.1.1",)),
        ("reserved:remote-node", "remote-node", Reserved.REMOTE_NODE, ()),
        ("world", "world", Reserved.WORLD, ("203.0.113.1", "2001:db8::1")),
        ("world-ipv6", "world", Reserved.WORLD, ("2001:db8::1",)),
    ],
)
def test_an_end_is_found(known: Known, text: str, name: str, identity: int, addresses: tuple[str, ...]) -> None:
    assert facts(find_party(text, known)) == [(name, identity, addresses)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no end of a packet; expected a pod"),
        ("same", "could be shop/same or bank/same; name it with its namespace"),
        ("id:x", "is no identity; expected id:NUMBER"),
        ("10.0.0.1/8", 'prefix "10.0.0.1/8" has host bits; expected 10.0.0.0/8'),
        ("10.0.0.0/33", "is no prefix"),
        ("reserved:host,k8s:a=b", "mixes reserved labels with others"),
        ("app=w e b", 'label value "w e b" is not usable'),
    ],
)
def test_what_cannot_be_an_end_says_why(known: Known, text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence.replace("[", r"\[")):
        find_party(text, known)


@pytest.mark.parametrize("text", ["nobody", "shop/nobody", "id:999", "ep:77"])
def test_who_is_not_there_is_named(known: Known, text: str) -> None:
    with pytest.raises(NotFound, match=text.removeprefix("id:")):
        find_party(text, known)


def test_labels_that_nobody_has_are_an_identity_that_could_be(known: Known) -> None:
    (party,) = find_party("app=new", known)
    assert (party.labels, len(party.notes)) == (labels("app=new"), 2)
    assert "in no namespace" in party.notes[1]
    numbers = free_numbers([party, party], known.repository.identities())
    assert list(numbers) == [labels("app=new")]
    assert known.repository.labels_of(numbers[labels("app=new")]) is None


def test_a_prefix_whose_parts_policies_tell_apart_is_several_ends(known: Known) -> None:
    known.repository.upsert(policy("p", egress=section(entry(cidr("10.0.0.0/8", "10.1.0.0/16")))))
    assert [party.name for party in find_party("10.0.0.0/7", known)] == [
        "10.0.0.0/7 at 10.0.0.0",
        "10.0.0.0/7 at 10.1.0.0",
        "10.0.0.0/7 at 11.0.0.0",
    ]


@given(st.lists(st.sampled_from(NETWORKS), unique=True), st.sampled_from(NETWORKS))
def test_regions_are_one_address_for_each_most_specific_prefix(found: list[object], whole: object) -> None:
    numbers = {network: number for number, network in enumerate(found, 1)}
    told = regions(whole, numbers)  # type: ignore[arg-type]

    def number(address: object) -> int:
        holding = [one for one in numbers if address in one]  # type: ignore[operator]
        return numbers[max(holding, key=lambda one: one.prefixlen)] if holding else 0  # type: ignore[attr-defined]

    answers = [number(address) for address in told]
    assert len(answers) == len(set(answers))
    inside = [address for address in ADDRESSES if address in whole]  # type: ignore[operator]
    assert {number(address) for address in inside} <= set(answers)
    assert all(address in whole for address in told)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("80", (6, 80)),
        ("80/tcp", (6, 80)),
        ("53/UDP", (17, 53)),
        ("1/sctp", (132, 1)),
        ("8/icmp", (1, 8)),
        ("0/icmp6", (58, 0)),
    ],
)
def test_a_service_is_a_number_and_a_protocol(text: str, service: tuple[int, int]) -> None:
    assert read_service(text) == (service,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0", "has 0, expected a port from 1 to 65535"),
        ("65536/tcp", "has 65536, expected a port from 1 to 65535"),
        ("256/icmp", "has 256, expected a type from 0 to 255"),
        ("80/http", "has no protocol that is known"),
        ("80/", "has no protocol that is known"),
        ("-1", "is no service"),
        ("٣", "is no service"),
        ("/tcp", "is no service"),
        ("http", "is no service"),
        ("echo/icmp", "is no service"),
    ],
)
def test_what_is_no_service_says_what_was_expected(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        read_service(text)


def test_a_named_port_is_that_of_the_destination() -> None:
    names = {"http": frozenset({(Protocol.TCP, 8080), (Protocol.TCP, 80), (Protocol.UDP, 1)})}
    assert read_service("http", names) == ((6, 80), (6, 8080))
    with pytest.raises(NotFound, match='no sctp port "http"; names of its ports: http'):
        read_service("http/sctp", names)


def test_the_family_is_that_of_addresses_or_of_icmp() -> None:
    both = Party(name="both", identity=WEB, addresses=(V4, V6))
    six = Party(name="six", identity=WEB, addresses=(V6,))
    anywhere = Party(name="nobody", identity=WEB)
    assert family_for((6, 80), (both, anywhere), None) == 4
    assert family_for((6, 80), (both, anywhere), 6) == 6
    assert family_for((6, 80), (both, six), None) == 6
    assert family_for((58, 128), (both, both), None) == 6
    with pytest.raises(Invalid, match="an IPv4 packet cannot go between both and six"):
        family_for((1, 8), (both, six), None)


def test_a_prefix_of_one_family_and_an_address_of_another_do_not_go_together(known: Known) -> None:
    (four,) = find_party("10.244.1.3", known)
    (six,) = find_party(str(ip_network("2001:db8::/32")), known)
    with pytest.raises(Invalid, match="one packet cannot go between"):
        family_for((6, 80), (four, six), None)
