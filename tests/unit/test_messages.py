"""Messages packed by hand say what pyroute2, which packs them from descriptions, reads in them."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from netloom.edge import requests
from netloom.edge.answers import link_info
from netloom.edge.messages import HEADER_BYTES, attribute, attributes, link_header, nest, number, text
from netloom.edge.requests import Attachment, VethEnd
from netloom.edge.routes import Route, add_route
from netloom.edge.rtnl import Request
from support.filters import filter_message

MAC = bytes.fromhex("02aabbccddee")
PLACE = Attachment(device="lxc1", ifindex=7, direction="ingress")
LINK_GROUP = 0x6C6F6F6D


def read(kind: Any, request: Request) -> Any:
    """The request's body as pyroute2 understands it."""
    message = kind(struct.pack("=IHHII", HEADER_BYTES + len(request.body), request.kind, 0, 0, 0) + request.body)
    message.decode()
    return message


def said(message: Any) -> dict[str, Any]:
    """Attributes by name, nested ones as dictionaries."""
    pairs = ((item[0], item[1]) for item in message["attrs"])
    return {name: said(value) if isinstance(value, dict) and "attrs" in value else value for name, value in pairs}


def test_a_pair_is_asked_for_with_both_its_ends() -> None:
    peer = VethEnd(name="eth0", mac=MAC, mtu_bytes=1450, marked=False, netns_fd=9)
    host = VethEnd(name="lxc1", mac=MAC, mtu_bytes=65535, noarp=True)
    message = read(ifinfmsg, requests.new_veth(host, peer))
    common = {"IFLA_ADDRESS": "02:aa:bb:cc:dd:ee", "IFLA_NUM_TX_QUEUES": 1, "IFLA_NUM_RX_QUEUES": 1}
    other = common | {"IFLA_IFNAME": "eth0", "IFLA_MTU": 1450, "IFLA_NET_NS_FD": 9}
    info = {"IFLA_INFO_KIND": "veth", "IFLA_INFO_DATA": {"VETH_INFO_PEER": other}}
    own = common | {"IFLA_IFNAME": "lxc1", "IFLA_MTU": 65535, "IFLA_GROUP": LINK_GROUP}
    assert said(message) == own | {"IFLA_LINKINFO": info}
    assert (message["flags"], message["change"]) == (0x80, 0x80)


@pytest.mark.parametrize(
    ("request_", "fields", "wanted"),
    [
        (requests.set_up("lxc1", 7), (7, 1, 1), {}),
        (requests.set_up("lxc1", 7, noarp=True), (7, 0x81, 0x81), {}),
        (requests.set_mtu("lxc1", 7, 1400), (7, 0, 0), {"IFLA_MTU": 1400}),
        (requests.set_alias("lxc1", 7, "netloom:n1"), (7, 0, 0), {"IFLA_IFALIAS": "netloom:n1"}),
        (
            requests.quiet_ipv6("lxc1", 7),
            (7, 0, 0),
            {"IFLA_AF_SPEC": {"AF_INET6": {"IFLA_INET6_ADDR_GEN_MODE": 1}}},
        ),
        (requests.get_link("lxc1"), (0, 0, 0), {"IFLA_IFNAME": "lxc1", "IFLA_EXT_MASK": 8}),
        (requests.get_link_by_index(7), (7, 0, 0), {"IFLA_EXT_MASK": 8}),
        (requests.delete_link("lxc1", 7), (7, 0, 0), {}),
        (requests.delete_marked_links(), (0, 0, 0), {"IFLA_GROUP": LINK_GROUP}),
    ],
)
def test_a_request_about_a_link_says_what_it_should(
    request_: Request, fields: tuple[int, int, int], wanted: dict[str, Any]
) -> None:
    message = read(ifinfmsg, request_)
    assert (message["index"], message["flags"], message["change"]) == fields
    assert said(message) == wanted


@pytest.mark.parametrize(("address", "family", "flags"), [("10.1.0.9", 2, {}), ("fd00::9", 10, {"IFA_FLAGS": 0x202})])
def test_an_address_is_alone_in_its_prefix(address: str, family: int, flags: dict[str, int]) -> None:
    message = read(ifaddrmsg, requests.add_address("eth0", 7, ip_address(address)))
    bits = ip_address(address).max_prefixlen
    assert (message["family"], message["prefixlen"], message["index"]) == (family, bits, 7)
    assert said(message) == {"IFA_LOCAL": address, "IFA_ADDRESS": address} | flags


@pytest.mark.parametrize(
    ("route", "scope", "wanted"),
    [
        (Route(prefix=ip_network("10.1.0.1/32"), device="eth0", ifindex=7), 253, {"RTA_DST": "10.1.0.1"}),
        (
            Route(prefix=ip_network("0.0.0.0/0"), device="eth0", ifindex=7, via=ip_address("10.1.0.1")),
            0,
            {"RTA_GATEWAY": "10.1.0.1"},
        ),
        (
            Route(prefix=ip_network("fd00::/64"), device="x", ifindex=7, source=ip_address("fd00::1"), mtu_bytes=1400),
            0,
            {"RTA_DST": "fd00::", "RTA_PREFSRC": "fd00::1", "RTA_METRICS": {"RTAX_MTU": 1400}},
        ),
    ],
)
def test_a_route_says_where_by_what_and_how(route: Route, scope: int, wanted: dict[str, Any]) -> None:
    message = read(rtmsg, add_route(route))
    assert (message["table"], message["proto"], message["type"], message["scope"]) == (254, 76, 1, scope)
    assert (message["dst_len"], said(message)) == (route.prefix.prefixlen, wanted | {"RTA_OIF": 7})


def test_a_filter_names_its_place_and_its_program() -> None:
    message = read(filter_message, requests.put_filter(PLACE, 33, "from_container"))
    assert (message["index"], message["handle"], message["parent"], message["info"]) == (
        7,
        1,
        0xFFFFFFF2,
        76 << 16 | 0x300,
    )
    options = {"TCA_BPF_FD": 33, "TCA_BPF_NAME": "netloom/from_container", "TCA_BPF_FLAGS": 1}
    assert said(message) == {"TCA_KIND": "bpf", "TCA_OPTIONS": options}


def test_a_link_is_read_as_pyroute2_wrote_it() -> None:
    """Every attribute this module reads, among others it does not."""
    message: Any = ifinfmsg()  # type: ignore[no-untyped-call]
    message["index"], message["flags"], message["ifi_type"] = 7, 0x81, 1
    pairs = {
        "IFLA_TXQLEN": 1000,
        "IFLA_IFNAME": "lxc1",
        "IFLA_MTU": 1450,
        "IFLA_GROUP": LINK_GROUP,
        "IFLA_LINK": 5,
        "IFLA_ADDRESS": "02:aa:bb:cc:dd:ee",
        "IFLA_IFALIAS": "netloom:n1",
        "IFLA_LINKINFO": {"attrs": [["IFLA_INFO_KIND", "veth"]]},
    }
    message["attrs"] = [list(pair) for pair in pairs.items()]
    message.encode()
    found = link_info(bytes(message.data))
    assert (found.name, found.ifindex, found.mac, found.mtu_bytes, found.kind) == ("lxc1", 7, MAC, 1450, "veth")
    assert (found.up, found.noarp, found.ethernet, found.ours, found.peer_ifindex) == (True, True, True, True, 5)
    assert found.alias == "netloom:n1"


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_what_was_packed_is_taken_apart_again(pairs: list[tuple[int, bytes]]) -> None:
    raw = b"".join(attribute(kind, payload) for kind, payload in pairs)
    assert len(raw) % 4 == 0
    assert list(attributes(raw, 0)) == pairs


@given(st.binary(max_size=120))
def test_any_bytes_are_a_link_or_nothing(raw: bytes) -> None:
    """A parser of the kernel's answers is total, too: every payload lies within the message."""
    assert all(payload in raw for _, payload in attributes(raw, 0))
    assert link_info(raw).ifindex is not None


def test_nested_attributes_carry_their_padding_within() -> None:
    packed = nest(1, text(2, "abc"), text(3, "abcd"), number(4, 5))
    assert packed == struct.pack("=HHHH4sHH5sxxxHHI", 32, 1, 8, 2, b"abc\0", 9, 3, b"abcd\0", 8, 4, 5)
    assert link_header(index=1)[4:8] == struct.pack("=i", 1)
