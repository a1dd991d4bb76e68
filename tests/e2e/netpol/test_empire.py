"""The best known of Cilium's examples: a policy of layers 3 and 4, and the ships it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.model.policy import Protocol
from support.asking import VERSIONS
from support.cluster import Cluster
from support.netpol import World, server

pytestmark = pytest.mark.e2e

POLICY = Path(__file__).parents[3] / "examples/policies/l3-l4.yaml"
DEATHSTAR = "default/deathstar"
EMPIRE = ("default/tiefighter-1", "default/tiefighter-2")
ALLIANCE = ("default/xwing-1", "default/xwing-2")


@pytest.fixture(scope="module")
def galaxy(cluster: Cluster) -> Iterator[World]:
    """The deathstar, and of each sort of ship one on its node and one on the other."""
    pods = [server(DEATHSTAR, "node1", {"org": "empire", "class": "deathstar"})]
    for ships, org, kind in ((EMPIRE, "empire", "tiefighter"), (ALLIANCE, "alliance", "xwing")):
        labels = {"org": org, "class": kind}
        pods += [server(ship, node, labels) for ship, node in zip(ships, ("node1", "node2"), strict=True)]
    world = World(cluster, pods)
    yield world
    world.close()


def test_only_ships_of_the_empire_land_on_the_deathstar(galaxy: World) -> None:
    """By TCP at port 80, and in no other way, not even by ping. What the deathstar itself begins is not restricted."""
    galaxy.expect(galaxy.everybody, Protocol.TCP, 80, 81)
    galaxy.apply(POLICY.read_text())
    shut = galaxy.everybody.cut("*", DEATHSTAR)
    galaxy.expect(shut.join(EMPIRE[0], DEATHSTAR).join(EMPIRE[1], DEATHSTAR), Protocol.TCP, 80)
    galaxy.expect(shut, Protocol.TCP, 81)
    galaxy.expect(shut, Protocol.UDP, 80)
    for ship in EMPIRE:
        for version in VERSIONS:
            assert galaxy.pods[ship].answers_nothing(galaxy.pods[DEATHSTAR].address(version))
