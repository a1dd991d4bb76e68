"""What programs asked for, in words."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.walk.calls import pack_tunnel_key, stages, tunnel_key
from netloom.bpf.helpers import HELPERS
from netloom.bpf.twin import NotedCall
from netloom.datapath import enforcement, registry
from netloom.datapath.layout import encode

SPECS = {spec.name: spec for spec in registry.MAPS}
NAMES = {5: "loom_vxlan", 6: "lxc1"}
BY_NAME = {helper.name: helper for helper in HELPERS.values()}


def noted(helper: str, *arguments: int, **more: Any) -> NotedCall:
    facts: dict[str, Any] = {"program": "encap", "result": 0, "map": "", "before": b"", "after": b"", "made": True}
    return NotedCall(helper=BY_NAME[helper], arguments=arguments, **(facts | more))


def text_of(call: NotedCall) -> str:
    (stage,) = stages((call,), SPECS, lambda index: NAMES.get(index, f"device {index}"))
    return stage.calls[0].text


KEY = encode(registry.PeerKey(ip_address("192.168.77.12")))
SUBJECT = encode(enforcement.SubjectKey(300))
POLICY = encode(enforcement.PolicyKey(64, 301, 1, 6, 80))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (noted("redirect", 5, 0), "redirect to loom_vxlan"),
        (noted("redirect", 6, 1), "redirect to lxc1 as received by it"),
        (noted("redirect_peer", 6, 0), "redirect_peer to the other end of lxc1"),
        (noted("map_lookup_elem", 1, 2, map="peers", before=KEY), "peers[192.168.77.12] has nothing"),
        (
            noted("map_lookup_elem", 1, 2, map="peers", before=KEY, after=encode(registry.PeerInfo(6)), result=1),
            "peers[192.168.77.12] = identity=6",
        ),
        (
            noted("map_lookup_elem", 1, 2, map="subjects", before=SUBJECT, after=b"\1\2\3", result=1),
            "subjects[300] = ingress enforced, egress audited, has table and closed",
        ),
        (noted("map_lookup_elem", 1, 2, map="policies", before=SUBJECT, result=1), "policies[300] found"),
        (
            noted("map_lookup_elem", 1, 2, map="policy", before=POLICY, after=b"\6", result=1),
            "policy[egress peer 301 protocol 6 port 80/16] = allow and audit deny",
        ),
        (noted("map_delete_elem", 1, 2, map="peers", before=KEY), "map_delete_elem peers[192.168.77.12]"),
        (
            noted("skb_set_tunnel_key", 0, 0, 44, 0, before=pack_tunnel_key(300, ip_address("10.0.0.1"), 64)),
            "tunnel key: VNI 300 to 10.0.0.1",
        ),
        (
            noted("skb_get_tunnel_key", 0, 0, 44, 1, after=pack_tunnel_key(300, ip_address("fd00::1"), 64)),
            "tunnel key: VNI 300 from fd00::1",
        ),
        (noted("skb_get_tunnel_key", 0, 0, 44, 0, result=-71), "tunnel key: none of that family (error 71)"),
        (noted("fib_lookup", 0, 0, 64, 0, result=7), "fib_lookup: no neighbour entry"),
        (
            noted("fib_lookup", 0, 0, 64, 0, after=struct.pack("=8xI46x6s", 5, bytes([2, 0, 0, 0, 0, 9]))),
            "fib_lookup: out of loom_vxlan to 02:00:00:00:00:09",
        ),
        (noted("skb_store_bytes", 0, 22, 0, 1, 0), "skb_store_bytes: 1 bytes at 22"),
        (noted("skb_change_tail", 0, 60, 0), "skb_change_tail: to 60 bytes"),
        (noted("skb_adjust_room", 0, 50, 1, 0), "skb_adjust_room: +50 bytes"),
        (noted("skb_adjust_room", 0, 2**64 - 50, 1, 0), "skb_adjust_room: -50 bytes"),
        (
            noted("skb_adjust_room", 0, 50, 1, 0, result=-95),
            "skb_adjust_room: +50 bytes (refused: error 95)",
        ),
        (noted("skb_change_type", 0, 0), "skb_change_type gave 0"),
        (
            noted("clone_redirect", 0, 6, 0, made=False),
            "clone_redirect gave 0 (not made: it would reach beyond this packet)",
        ),
    ],
)
def test_a_call_is_told_in_words(call: NotedCall, text: str) -> None:
    assert text_of(call) == text


def test_a_key_that_could_not_be_read_is_unknown_and_not_wrong() -> None:
    assert text_of(noted("map_lookup_elem", 1, 2, map="peers", result=1)) == "peers[?] found"


def test_calls_stand_with_the_program_that_made_them() -> None:
    calls = (noted("redirect", 5, 0, program="from_container"), noted("redirect", 5, 0), noted("redirect", 6, 0))
    found = stages(calls, SPECS, str)
    assert [(stage.program, len(stage.calls)) for stage in found] == [("from_container", 1), ("encap", 2)]


@given(vni=st.integers(0, (1 << 24) - 1), address=st.ip_addresses(), ttl=st.integers(0, 255))
def test_a_tunnel_key_says_what_was_put_into_it(vni: int, address: Any, ttl: int) -> None:
    raw = pack_tunnel_key(vni, address, ttl)
    assert (len(raw), raw[21]) == (44, ttl)
    assert tunnel_key(raw, is_ipv6=address.version == 6) == (vni, address)
