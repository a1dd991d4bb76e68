"""The benchmark of requests asks what it says it asks, of Netloom's proxy and of another one, and leaves nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import networks
from bench.request_loads import DENIED, LOADS, UNARY, Load, measure
from bench.request_peers import HAPROXY, NETLOOM
from bench.request_places import Place, standing
from bench.requests import cpu_us, idle_bytes

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")]

MARK = f"asktest{os.getpid()}"


@pytest.fixture(scope="module")
def places() -> Iterator[list[Place]]:
    """Envoy is for who measures: it is large, and its rules are checked whenever it is measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "MARK", MARK)
        with standing([NETLOOM, HAPROXY]) as found:
            yield found
    assert not [path for path in Path("/run/netns").iterdir() if path.name.startswith(MARK)]


@pytest.mark.parametrize("load", [load for load in LOADS if load.name in {DENIED, UNARY}], ids=lambda load: load.name)
def test_every_proxy_answers_as_its_rules_say(places: list[Place], load: Load) -> None:
    """``measure`` raises for other answers."""
    for place in places:
        before = sum(cpu_us(place.proxy_pid))
        assert measure(load, place.client_netns, place.server, 1).requests_per_second > 0
        assert sum(cpu_us(place.proxy_pid)) > before


def test_idle_connections_are_held_by_every_proxy(places: list[Place]) -> None:
    for place in places:
        assert idle_bytes(place, count=20) >= 0
