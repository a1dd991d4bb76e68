"""How often tables are swept, and how much room they have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.config.settings import MapSettings
from netloom.datapath.connections import CONNECTIONS_ANY, CONNECTIONS_TCP
from netloom.plan.room import LEAST_ENTRIES, map_sizes
from netloom.plan.sweeps import FIRST_PAUSE_S, LEAST_PAUSE_S, MOST_PAUSE_S, next_pause_s

GIB = 1 << 30


@pytest.mark.parametrize(
    ("share", "pause_s"),
    [(0.0, 450), (0.049, 450), (0.05, 300), (0.25, 300), (0.26, 222), (0.5, 150), (0.9, 30), (1.0, 30)],
)
def test_the_more_a_sweep_removes_the_sooner_comes_the_next(share: float, pause_s: float) -> None:
    assert next_pause_s(FIRST_PAUSE_S, share) == pytest.approx(pause_s)


@given(st.lists(st.floats(0, 1), max_size=50))
def test_a_pause_is_neither_endless_nor_none(shares: list[float]) -> None:
    pause_s = FIRST_PAUSE_S
    for share in shares:
        pause_s = next_pause_s(pause_s, share)
        assert LEAST_PAUSE_S <= pause_s <= MOST_PAUSE_S


def test_connections_have_room_by_the_machines_memory() -> None:
    """Twice as much for TCP as for the rest, and 0.25 % of the memory for both."""
    sizes = map_sizes(MapSettings(), 16 * GIB)
    tcp, rest = sizes["connections_tcp"], sizes["connections_any"]
    assert abs(tcp - 2 * rest) <= 1
    assert (tcp + rest) * 160 == pytest.approx(16 * GIB * 0.0025, rel=0.01)


@pytest.mark.parametrize(
    ("memory", "tcp", "rest"),
    [
        (GIB // 2, LEAST_ENTRIES, LEAST_ENTRIES),
        (1024 * GIB, CONNECTIONS_TCP.max_entries, CONNECTIONS_ANY.max_entries),
    ],
)
def test_room_has_bounds(memory: int, tcp: int, rest: int) -> None:
    sizes = map_sizes(MapSettings(), memory)
    assert (sizes["connections_tcp"], sizes["connections_any"]) == (tcp, rest)


def test_room_that_is_set_stands() -> None:
    sizes = map_sizes(MapSettings(connections_tcp=2048, endpoints=99), GIB)
    assert (sizes["connections_tcp"], sizes["connections_any"], sizes["endpoints"]) == (2048, LEAST_ENTRIES, 99)
