"""What the cluster hears of endpoints, and when: over a real store, with pods and addresses made up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest

from netloom.agent.cluster import Cluster, Local
from netloom.agent.endpoints import AttachRequest, EndpointManager, Parts
from netloom.agent.identities import Identities
from netloom.agent.tables import Tables
from netloom.edge.workload import Workload
from netloom.model.endpoint import Attachment, Endpoint
from netloom.model.labels import label_set
from netloom.model.node import Node
from netloom.plugins.contract import Allocation
from netloom_local.store import LocalStore

POD = IPv4Address("10.244.1.7")
KEY = f"addresses/n1/{POD}"
ATTACHMENT = Attachment(container_id="c1", ifname="eth0", netns="/run/netns/c1")
REQUEST = AttachRequest(attachment=ATTACHMENT, labels=label_set(["k8s:app=x"]))


class SlowStore(LocalStore):
    """Writes and deletes addresses only while it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 0.05)
        self.writing, self.deleting = asyncio.Event(), asyncio.Event()
        self.writing.set()
        self.deleting.set()

    async def put(self, key: str, value: bytes) -> int:
        await self.writing.wait()
        return await super().put(key, value)

    async def delete(self, key: str) -> None:
        await self.deleting.wait()
        await super().delete(key)


class Edges:
    """Addresses, interfaces and plugins of a node that is not there."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.deleted = asyncio.Event()

    async def allocate(self, request: Any) -> Allocation:
        self.held.add(request.owner)
        return Allocation(owner=request.owner, addresses=(POD,))

    async def release(self, owner: str) -> None:
        self.held.discard(owner)

    async def create_workload(self, endpoint: Any) -> Workload:
        del endpoint
        return Workload(ifindex=7, host_mac=bytes(6), mac=bytes(6))

    async def delete_workload(self, attachment: Attachment, ifindex: int) -> None:
        del attachment, ifindex
        self.deleted.set()

    def use(self, endpoint: Endpoint) -> None:
        del endpoint

    def leave(self, endpoint: Endpoint) -> None:
        del endpoint

    async def notify(self, hook: str, event: object) -> None:
        del hook, event


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SlowStore]:
    slow = SlowStore(tmp_path / "store.db")
    await slow.open()
    yield slow
    await slow.close()


@pytest.fixture
def edges() -> Edges:
    return Edges()


@pytest.fixture
def manager(tmp_path: Path, store: SlowStore, edges: Edges) -> EndpointManager:
    node = Node(
        name="n1",
        underlay_ipv4=None,
        underlay_ipv6=None,
        pod_cidrs=(IPv4Network("10.244.1.0/24"),),
        gateways=(IPv4Address("10.244.1.1"),),
        mode="none",
    )
    anything = cast("Any", edges)
    tables, identities = Tables({}), Identities(store)
    cluster = Cluster(store, Local(node=node, mode=anything, mtu_bytes=1450), tables, identities)
    parts = Parts(
        directory=tmp_path,
        ipam=anything,
        datapath=anything,
        tables=tables,
        cluster=cluster,
        identities=identities,
        policies=anything,
        plugins=anything,
    )
    return EndpointManager(parts)


async def test_an_attachment_does_not_wait_for_the_cluster(manager: EndpointManager, store: SlowStore) -> None:
    """Its node can reach it; the others learn of it soon."""
    store.writing.clear()
    await manager.attach(REQUEST)
    assert await store.get(KEY) is None
    store.writing.set()
    await manager.finish()
    assert await store.get(KEY) is not None


async def test_an_address_is_nobodys_until_the_cluster_has_forgotten_its_owner(
    manager: EndpointManager, store: SlowStore, edges: Edges
) -> None:
    """Else another node could take its next owner for the one before."""
    await manager.attach(REQUEST)
    await manager.finish()
    store.deleting.clear()
    detaching = asyncio.create_task(manager.detach(ATTACHMENT))
    await edges.deleted.wait()
    assert (edges.held, detaching.done()) == ({ATTACHMENT.key}, False)
    store.deleting.set()
    assert await detaching
    assert (edges.held, await store.get(KEY)) == (set(), None)


async def test_what_is_withdrawn_at_once_does_not_come_back(
    manager: EndpointManager, store: SlowStore, edges: Edges
) -> None:
    """The cluster is told in the order in which things happened."""
    store.writing.clear()
    await manager.attach(REQUEST)
    detaching = asyncio.create_task(manager.detach(ATTACHMENT))
    await edges.deleted.wait()
    store.writing.set()
    assert await detaching
    await manager.finish()
    assert await store.get(KEY) is None
