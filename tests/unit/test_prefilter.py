"""The prefilter's set: what is a prefix, what speaks against one, and how the kernel has it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.prefilter.request import Change, Verb, changed, read_change
from netloom.datapath.layout import decode, encode
from netloom.datapath.prefilter import PREFILTER_MAPS, PrefilterIp4, PrefilterIp6, PrefilterNet4, PrefilterNet6
from netloom.model.address import Address, Network
from netloom.model.errors import Exhausted, Invalid, NotFound
from netloom.model.node import Node
from netloom.plan.prefilter import (
    NoCidr,
    check_room,
    entries,
    holder,
    in_order,
    network_of,
    objections,
    parse,
    parse_all,
    refuse_unless_meant,
    text_of,
)

networks: st.SearchStrategy[Network] = st.one_of(
    st.ip_addresses(v=4).flatmap(lambda ip: st.integers(0, 32).map(lambda n: ip_network((ip, n), strict=False))),
    st.ip_addresses(v=6).flatmap(lambda ip: st.integers(0, 128).map(lambda n: ip_network((ip, n), strict=False))),
).filter(lambda network: network.version == 4 or network.network_address.ipv4_mapped is None)
NODE2 = Node(
    name="node2",
    underlay_ipv4=IPv4Address("192.168.77.12"),
    underlay_ipv6=IPv6Address("fd00:77::12"),
    pod_cidrs=(),
    gateways=(),
    mode="vxlan",
)
NOT_MEANT = {
    "foo": '"foo", expected an address or a prefix',
    "": '"", expected an address',
    "10.0.0.0/33": '"10.0.0.0/33", expected an address',
    "10.0.0.0/": '"10.0.0.0/", expected an address',
    "10.0.0.0/8/8": '"10.0.0.0/8/8", expected an address',
    "10.0.0.0/+8": '"10.0.0.0/+8", expected an address',
    "10.0.0.0/٨": '"10.0.0.0/٨", expected an address',
    "10.0.0/24": '"10.0.0/24", expected an address',
    "010.0.0.1": '"010.0.0.1", expected an address',
    " 10.0.0.1": '" 10.0.0.1", expected an address',
    "10.0.0.0/255.0.0.0": '"10.0.0.0/255.0.0.0", expected an address',
    "2001:db8::/129": '"2001:db8::/129", expected an address',
    "10.1.2.3/16": 'expected "10.1.0.0/16" for the whole range or "10.1.2.3" for the one address',
    "2001:db8::1/32": 'expected "2001:db8::/32" for the whole range or "2001:db8::1" for the one address',
    "::ffff:10.1.2.3": 'expected "10.1.2.3" for IPv4',
    "::ffff:10.1.0.0/112": 'expected "10.1.0.0/16" for IPv4',
    "fe80::1%eth0": "which names a device",
}


@given(network=networks)
def test_a_prefix_is_read_and_written_as_python_does_it(network: Network) -> None:
    """In its short form, and as a value; a single address may come without its length."""
    cidr = parse(str(network))
    assert (network_of(cidr), text_of(cidr)) == (network, str(network))
    if network.prefixlen == network.max_prefixlen:
        assert parse(str(network.network_address)) == cidr


@pytest.mark.parametrize("text", NOT_MEANT)
def test_what_is_no_prefix_or_hardly_the_one_meant_is_refused(text: str) -> None:
    with pytest.raises(NoCidr) as caught:
        parse(text)
    assert NOT_MEANT[text] in str(caught.value)


def test_all_that_is_wrong_is_told_and_nothing_taken() -> None:
    with pytest.raises(Invalid, match=r'nothing was changed: found "x1", .*"x5", [^;]*; and 2 more$'):
        parse_all(["10.0.0.1", *(f"x{number}" for number in range(1, 8))])


def test_doubles_count_once_whatever_they_are_written_like() -> None:
    assert in_order(parse_all(["2001:DB8::1", "2001:db8:0::1/128", "10.0.0.1", "10.0.0.1/32"])) == [
        "10.0.0.1/32",
        "2001:db8::1/128",
    ]


def test_the_order_is_by_family_then_address_then_length() -> None:
    texts = ["::/0", "10.0.0.0/16", "2.0.0.0/8", "10.0.0.0/8", "10.0.0.0/32", "2001:db8::/32"]
    assert in_order(map(parse, texts)) == [
        *("2.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/32"),
        *("::/0", "2001:db8::/32"),
    ]


@given(network=networks)
def test_the_kernels_key_is_that_of_the_declared_struct(network: Network) -> None:
    """Each family and kind in a map of its own."""
    address = network.network_address
    single = network.prefixlen == network.max_prefixlen
    match network:
        case IPv4Network() if single:
            name, key = "prefilter_ip4", encode(PrefilterIp4(IPv4Address(address)))
        case IPv4Network():
            name, key = "prefilter_net4", encode(PrefilterNet4(network))
        case IPv6Network() if single:
            name, key = "prefilter_ip6", encode(PrefilterIp6(address))
        case _:
            name, key = "prefilter_net6", encode(PrefilterNet6(network))
    assert {map_name: keys for map_name, keys in entries([parse(str(network))]).items() if keys} == {name: {key}}


def test_entries_name_every_map() -> None:
    """One that is left out would keep what stands in it."""
    assert entries(()) == {spec.name: set() for spec in PREFILTER_MAPS}


@given(ranges=st.sets(networks, max_size=6), address=st.ip_addresses())
def test_the_holder_of_an_address_is_the_longest_prefix_around_it(ranges: set[Network], address: Address) -> None:
    """As a look at every prefix finds it."""
    around = [network for network in ranges if address.version == network.version and address in network]
    expected = max(around, key=lambda network: network.prefixlen, default=None)
    found = holder({parse(str(network)) for network in ranges}, address)
    assert (network_of(found) if found else None) == expected


def test_a_map_without_room_is_named_with_its_setting() -> None:
    sizes = {spec.name: 2 for spec in PREFILTER_MAPS}
    check_room(entries(map(parse, ["10.0.0.1", "10.0.0.2", "10.0.0.0/24", "::1"])), sizes)
    with pytest.raises(Exhausted, match=r'"prefilter_ip4" holds 2 entries \(setting maps.prefilter_ip4\), and 3 would'):
        check_room(entries(map(parse, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])), sizes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.0.0.0/0", "holds every address"),
        ("::/0", "holds every address"),
        ("fe80::/10", "holds link-local addresses"),
        ("fe80::1", "holds link-local addresses"),
        ("fc00::/6", "holds link-local addresses"),
        ("192.168.0.0/16", '192.168.0.0/16 holds 192.168.77.12, the underlay address of node "node2"'),
        ("fd00:77::12", 'fd00:77::12/128 holds fd00:77::12, the underlay address of node "node2"'),
    ],
)
def test_what_would_cut_the_node_off_is_objected_to(text: str, words: str) -> None:
    found = objections({parse(text)}, [NODE2])
    assert words in "; ".join(found)
    with pytest.raises(Invalid, match=r"nothing was changed: .*; say `--force` if that is meant"):
        refuse_unless_meant(found)


def test_nothing_speaks_against_others() -> None:
    assert objections(parse_all(["192.0.2.0/24", "192.168.77.13", "2001:db8::/32", "fec0::/10"]), [NODE2]) == []


def test_a_change_adds_replaces_or_removes() -> None:
    one, two, three = map(parse, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    before = frozenset({one, two})
    assert changed(before, Verb.ADD, {two, three}) == {one, two, three}
    assert changed(before, Verb.REPLACE, {two, three}) == {two, three}
    assert changed(before, Verb.REMOVE, {two}) == {one}


def test_removing_what_is_not_there_names_it() -> None:
    """An address within a range that is there is not there itself."""
    before = parse_all(["10.0.0.0/24", "10.1.0.0/24"])
    with pytest.raises(NotFound, match=r"not in the prefilter: 10.0.0.1/32; nothing was removed"):
        changed(before, Verb.REMOVE, parse_all(["10.0.0.1", "10.1.0.0/24"]))


def test_a_request_says_what_it_wants() -> None:
    assert read_change("PATCH", b'{"cidrs": ["10.0.0.1"], "revision": 3, "force": true}') == Change(
        verb=Verb.ADD, cidrs=("10.0.0.1",), revision=3, force=True
    )


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"cidrs": "10.0.0.1"}', b'{"cidrs": [1]}', b'{"cidrs": [], "forse": true}', b"\xff"]
)
def test_a_request_that_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid, match="the request cannot be read"):
        read_change("PUT", raw)


@given(raw=st.binary(min_size=4, max_size=4))
def test_any_four_bytes_are_an_address_of_the_map(raw: bytes) -> None:
    assert decode(PrefilterIp4, raw).address == ip_address(raw)
