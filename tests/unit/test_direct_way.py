"""When tunnel packets may pass by the tunnel device, and where the program that takes them belongs."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.direct import Circumstances, obstacle
from netloom.agent.generation import Behind, Compiled
from netloom.bpf.objects import ProgramObject
from netloom.datapath.registry import CallSlot
from netloom.edge.xfrm import count_in
from netloom.plugins.contract import UNDERLAY, AttachPoint

OPEN = Circumstances(wanted=True, ipv4=True, ethernet=True, ipsec_policies=0, ifindex=2)


def test_the_way_is_open_when_nothing_stands_against_it() -> None:
    assert obstacle(OPEN) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(OPEN, wanted=False), "it is switched off"),
        (replace(OPEN, ipv4=False), "the underlay has no IPv4 address"),
        (replace(OPEN, ethernet=False), "the underlay device is not Ethernet"),
        (replace(OPEN, ipsec_policies=2), "this node has IPsec policies (2), which only the host's stack applies"),
    ],
)
def test_an_obstacle_is_told_in_words(found: Circumstances, words: str) -> None:
    assert obstacle(found) == words


# --- programs of the underlay -------------------------------------------------------------------

ENCAP, RECEIVE = (ProgramObject(name, bytes(8), ()) for name in ("encap", "from_underlay"))
NETDEV, GUARD = (ProgramObject(name, bytes(8), ()) for name in ("from_netdev", "to_netdev"))
IN, OUT = AttachPoint(UNDERLAY, "ingress"), AttachPoint(UNDERLAY, "egress")
TUNNEL = Compiled(
    objects=(ENCAP, RECEIVE),
    targets={CallSlot.ENCAP: "encap", IN: "from_underlay"},
    direct=frozenset({"encap", "from_underlay"}),
)
NATIVE_FIRST = Compiled(
    objects=(ENCAP, RECEIVE, NETDEV, GUARD),
    targets={CallSlot.ENCAP: "encap", IN: "from_netdev", OUT: "to_netdev", Behind(IN): "from_underlay"},
    direct=TUNNEL.direct,
)
TUNNEL_FIRST = replace(
    NATIVE_FIRST,
    targets={CallSlot.ENCAP: "encap", IN: "from_underlay", OUT: "to_netdev", Behind(IN): "from_netdev"},
)


def places(compiled: Compiled) -> dict[str, str]:
    """Names of programs by their places, in words."""
    return {
        target.name if isinstance(target, CallSlot) else f"{target.device} {target.direction}": name
        for target, name in compiled.targets.items()
        if not isinstance(target, Behind)
    }


def test_a_program_for_the_underlay_goes_on_its_device() -> None:
    placed = TUNNEL.at_underlay(["bond0"], direct=True)
    assert placed.objects == TUNNEL.objects
    assert places(placed) == {"ENCAP": "encap", "bond0 ingress": "from_underlay"}


def test_a_program_for_the_underlay_is_not_even_loaded_where_it_may_not_be() -> None:
    placed = TUNNEL.at_underlay(["bond0"], direct=False)
    assert (placed.objects, placed.targets) == ((ENCAP,), {CallSlot.ENCAP: "encap"})


@pytest.mark.parametrize(
    ("compiled", "first", "second"),
    [(NATIVE_FIRST, "from_netdev", "from_underlay"), (TUNNEL_FIRST, "from_underlay", "from_netdev")],
)
def test_of_two_modes_the_second_ones_program_stands_behind_on_every_device(
    compiled: Compiled, first: str, second: str
) -> None:
    assert places(compiled.at_underlay(["eth0", "eth1"], direct=True)) == {
        "ENCAP": "encap",
        "eth0 ingress": first,
        "eth1 ingress": first,
        "eth0 egress": "to_netdev",
        "eth1 egress": "to_netdev",
        "NEXT_AT_UNDERLAY": second,
    }


@pytest.mark.parametrize("compiled", [NATIVE_FIRST, TUNNEL_FIRST])
def test_a_program_moves_up_where_the_one_before_it_may_not_be(compiled: Compiled) -> None:
    placed = compiled.at_underlay(["eth0"], direct=False)
    assert places(placed) == {"ENCAP": "encap", "eth0 ingress": "from_netdev", "eth0 egress": "to_netdev"}
    assert RECEIVE not in placed.objects


@pytest.mark.parametrize(("compiled", "needs"), [(TUNNEL, False), (NATIVE_FIRST, True), (TUNNEL_FIRST, True)])
def test_only_a_mode_without_a_tunnel_needs_every_device(compiled: Compiled, needs: bool) -> None:
    assert compiled.needs_underlay() is needs


# --- the kernel's answer about IPsec ------------------------------------------------------------


def answer(*attributes: tuple[int, bytes], kind: int = 0x24) -> bytes:
    """A message with attributes, as the kernel builds it."""
    packed = (
        struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4) for number, value in attributes
    )
    body = struct.pack("=I", 0) + b"".join(packed)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


COUNTS = struct.pack("=6I", 1, 2, 3, 70, 80, 90)
"""Policies for in, out and forward; then those of single sockets, such as a key daemon's."""


def test_policies_of_all_directions_are_counted() -> None:
    assert count_in(answer((2, bytes(8)), (1, COUNTS))) == 6


def test_a_refusal_is_the_kernels_own() -> None:
    refused = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -errno.EPERM) + bytes(16)
    with pytest.raises(OSError, match="refused") as caught:
        count_in(refused)
    assert caught.value.errno == errno.EPERM


@given(raw=st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda tail: answer((1, COUNTS))[:20] + tail)))
def test_any_answer_is_a_number_or_an_error(raw: bytes) -> None:
    try:
        assert count_in(raw) >= 0
    except OSError:
        return
