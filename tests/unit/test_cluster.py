"""The cluster as one node sees it, over a real store in a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from netloom.agent.cluster import Cluster, Local
from netloom.agent.identities import Identities
from netloom.agent.records import decode_node
from netloom.agent.tables import Tables
from netloom.datapath.registry import IpcacheKey, TunnelInfo, TunnelKey
from netloom.model.address import Family, host_prefix
from netloom.model.errors import Conflict, Invalid
from netloom.model.labels import label_set
from netloom.model.node import Node
from netloom.plan.claims import NO_TUNNEL
from netloom.plugins.contract import DeviceSpec, NodeChanged, Reach, Tunnel, WorkloadKind
from netloom.plugins.fallback import Modes
from netloom_local.store import LocalStore
from support.stores import opened
from support.tables import MemoryTable

NODE1 = Node(
    name="node1",
    underlay_ipv4=IPv4Address("192.168.77.11"),
    underlay_ipv6=None,
    pod_cidrs=(IPv4Network("10.244.1.0/24"),),
    gateways=(IPv4Address("10.244.1.1"),),
    mode="direct",
    modes=("direct",),
)
NODE2 = replace(
    NODE1,
    name="node2",
    underlay_ipv4=IPv4Address("192.168.77.12"),
    pod_cidrs=(IPv4Network("10.244.2.0/24"),),
    gateways=(IPv4Address("10.244.2.1"),),
)
POD = IPv4Address("10.244.2.9")


class Direct:
    """A network mode that reaches every node by its IPv4 address."""

    workload = WorkloadKind.VETH
    tunnel: Tunnel | None = None

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        del underlay
        return underlay_mtu_bytes

    def devices(self) -> tuple[DeviceSpec, ...]:
        return ()

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        del local, mtu_bytes
        if remote.underlay_ipv4 is None:
            raise Invalid(f'node "{remote.name}" has no IPv4 address')
        return Reach(tunnels=dict.fromkeys(remote.pod_cidrs, remote.underlay_ipv4))


class View:
    """One node's view of the cluster, fed from the store on demand."""

    def __init__(self, store: LocalStore, node: Node) -> None:
        self.store = store
        self.ipcache = MemoryTable()
        self.tunnels = MemoryTable()
        self.tables = Tables({"ipcache": self.ipcache, "tunnels": self.tunnels})
        self.identities = Identities(store)
        local = Local(node=node, mode=Modes({"direct": Direct()}), mtu_bytes=1450)
        self.cluster = Cluster(store, local, self.tables, self.identities)
        self._watch = store.watch("")
        self._first = True

    async def catch_up(self) -> tuple[NodeChanged, ...]:
        changes = self.cluster.take(await anext(self._watch), first=self._first)
        self._first = False
        await self.tables.resync()
        return changes


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    async with opened(tmp_path / "store.db", 0.05) as local:
        yield local


async def test_a_remote_endpoint_is_known_by_identity_and_tunnel(store: LocalStore) -> None:
    """Published on one node, claimed on the other."""
    one, two = View(store, NODE1), View(store, NODE2)
    await two.cluster.publish_node()
    await two.cluster.publish_address(POD, 300)
    await one.catch_up()
    info = one.ipcache.entries[IpcacheKey(host_prefix(POD))]
    assert (info.identity, info.tunnel_endpoint) == (300, NODE2.underlay_ipv4)


async def test_pods_of_a_node_that_no_mode_reaches_are_behind_a_tunnel_that_leads_nowhere(store: LocalStore) -> None:
    """So that programs drop what is for them, heard of or not; known they are all the same."""
    one, two = View(store, NODE1), View(store, replace(NODE2, underlay_ipv4=None))
    await two.cluster.publish_node()
    await two.cluster.publish_address(POD, 300)
    await one.catch_up()
    info = one.ipcache.entries[IpcacheKey(host_prefix(POD))]
    assert (info.identity, info.tunnel_endpoint, info.flags) == (300, NO_TUNNEL, 0)
    assert one.tunnels.entries == {TunnelKey(NODE2.pod_cidrs[0]): TunnelInfo(NO_TUNNEL)}


async def test_a_node_that_claims_prefixes_of_this_one_changes_no_packets_way(store: LocalStore) -> None:
    """A record that names the whole world must not cut the world off."""
    one, two = View(store, NODE1), View(store, replace(NODE2, pod_cidrs=(IPv4Network("0.0.0.0/0"),)))
    await two.cluster.publish_node()
    await one.catch_up()
    assert one.tunnels.entries == {}


async def test_the_order_in_which_node_and_address_are_heard_of_does_not_matter(store: LocalStore) -> None:
    """An address before its node is claimed when the node comes."""
    one, two = View(store, NODE1), View(store, NODE2)
    await two.cluster.publish_address(POD, 300)
    await one.catch_up()
    assert IpcacheKey(host_prefix(POD)) not in one.ipcache.entries
    await two.cluster.publish_node()
    await one.catch_up()
    assert IpcacheKey(host_prefix(POD)) in one.ipcache.entries


async def test_a_node_cannot_claim_an_address_outside_its_prefixes(store: LocalStore) -> None:
    """Such a record is not used."""
    one, two = View(store, NODE1), View(store, NODE2)
    await two.cluster.publish_node()
    await two.cluster.publish_address(IPv4Address("8.8.8.8"), 300)
    await one.catch_up()
    assert IpcacheKey(host_prefix(IPv4Address("8.8.8.8"))) not in one.ipcache.entries


async def test_a_forgotten_node_takes_its_addresses_with_it(store: LocalStore) -> None:
    """Nothing of it stays claimed."""
    one, two = View(store, NODE1), View(store, NODE2)
    await two.cluster.publish_node()
    await two.cluster.publish_address(POD, 300)
    await one.catch_up()
    await one.cluster.forget_node("node2")
    await one.catch_up()
    while one.ipcache.entries:
        await one.catch_up()
    assert one.cluster.nodes() == {}


async def test_what_vanished_while_not_watching_is_noticed(store: LocalStore) -> None:
    """The first batch of a new watch says what is gone by not naming it."""
    one, two = View(store, NODE1), View(store, NODE2)
    await two.cluster.publish_node()
    await one.catch_up()
    await store.delete("nodes/node2")
    one._watch, one._first = store.watch(""), True
    assert await one.catch_up() == (NodeChanged(name="node2", node=None),)


async def test_overlapping_prefixes_are_refused_at_registration(store: LocalStore) -> None:
    """The sentence names both nodes and what to do."""
    await View(store, NODE2).cluster.publish_node()
    clash = replace(NODE1, pod_cidrs=(IPv4Network("10.244.0.0/16"),))
    with pytest.raises(Conflict, match=r"10\.244\.0\.0/16 .*node1.*10\.244\.2\.0/24.*node2.*netctl node forget node2"):
        await View(store, clash).cluster.refuse_overlap()


async def test_a_node_that_cannot_be_reached_is_listed_with_the_reason(store: LocalStore) -> None:
    """And harms nobody else."""
    one = View(store, NODE1)
    await View(store, replace(NODE2, underlay_ipv4=None)).cluster.publish_node()
    await one.catch_up()
    assert one.cluster.nodes()["node2"].error == 'node "node2" has no IPv4 address'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nodes/x", b"{"),
        ("addresses/node2/1", b'{"address":"no","identity":1,"node":"node2"}'),
        ("identities/x", b"a;"),
        ("identities/²", b"a;"),
        ("identities/" + "9" * 5000, b"a;"),
    ],
)
async def test_a_garbage_record_is_passed_over(store: LocalStore, key: str, value: bytes) -> None:
    """The next record is used all the same."""
    one = View(store, NODE1)
    await store.put(key, value)
    await View(store, NODE2).cluster.publish_node()
    await one.catch_up()
    assert list(one.cluster.nodes()) == ["node2"]


async def test_one_label_set_has_one_identity_on_every_node(store: LocalStore) -> None:
    """Also when many ask at once; no number is left over from the race."""
    views = [View(store, replace(NODE1, name=f"n{i}")) for i in range(4)]
    sets = [label_set([f"app={name}"]) for name in "abc"]
    answers = await asyncio.gather(*(view.identities.identity_of(labels) for view in views for labels in sets))
    assert len({answer.id for answer in answers}) == len(sets)
    assert len(await store.items("identities/")) == len(sets)


async def test_no_labels_means_init(store: LocalStore) -> None:
    """As in Cilium, an endpoint without labels is reserved:init."""
    identity = await View(store, NODE1).identities.identity_of(frozenset())
    assert (identity.id, [str(label) for label in identity.labels]) == (5, ["reserved:init"])


async def test_what_an_earlier_run_published_and_nobody_has_is_withdrawn(store: LocalStore) -> None:
    """A restarted agent keeps what stands and removes the rest."""
    await View(store, NODE2).cluster.publish_address(IPv4Address("10.244.2.10"), 300)
    restarted = View(store, NODE2).cluster
    await restarted.publish_address(POD, 300)
    await restarted.republish()
    assert [entry.key for entry in await store.items("addresses/")] == [f"addresses/node2/{POD}"]


async def test_a_store_that_lost_everything_is_told_again(store: LocalStore) -> None:
    """Node, addresses, and the identity with its number."""
    two = View(store, NODE2)
    identity = await two.identities.identity_of(label_set(["app=a"]))
    await two.cluster.publish_node()
    await two.cluster.publish_address(POD, identity.id)
    before = [(entry.key, entry.value) for entry in await store.items("")]
    for key, _ in before:
        await store.delete(key)
    assert await two.identities.confirm(identity) == identity
    await two.cluster.republish()
    assert [(entry.key, entry.value) for entry in await store.items("")] == before


async def test_a_node_notices_at_once_that_its_records_are_gone(store: LocalStore) -> None:
    """It need not wait for the next round to publish them again."""
    two = View(store, NODE2)
    await two.cluster.publish_node()
    await two.catch_up()
    assert not two.cluster.robbed
    await store.delete("nodes/node2")
    await two.catch_up()
    assert two.cluster.robbed
    await two.cluster.republish()
    assert not two.cluster.robbed
    assert await store.get("nodes/node2") is not None


async def test_an_identity_given_to_others_meanwhile_gets_another_number(store: LocalStore) -> None:
    """Two label sets never share one."""
    two = View(store, NODE2)
    identity = await two.identities.identity_of(label_set(["app=a"]))
    await store.delete(f"identities/{identity.id}")
    await store.delete("labels/k8s:app=a;")
    await View(store, NODE1).identities.identity_of(label_set(["app=b"]))
    confirmed = await two.identities.confirm(identity)
    assert (confirmed.id, confirmed.labels) == (257, identity.labels)


# --- what a node tells of itself while its modes change -----------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (("direct",), ("native", "direct"), ("direct",)),
        (("native", "direct"), ("direct",), ("direct",)),
        (("native", "direct"), ("native", "direct"), ("native", "direct")),
        (("native",), ("direct",), ("native",)),
        ((), ("direct", "native"), ("direct",)),
    ],
    ids=["added", "taken away", "kept", "another", "an older agent's"],
)
async def test_until_its_programs_are_at_work_a_node_tells_of_what_it_takes_before_and_after(
    store: LocalStore, before: tuple[str, ...], after: tuple[str, ...], told: tuple[str, ...]
) -> None:
    """So that nobody sends what nobody takes; then of all it takes."""
    await View(store, replace(NODE1, mode=(*before, "direct")[0], modes=before)).cluster.publish_node()
    new = View(store, replace(NODE1, mode=after[0], modes=after))
    await new.cluster.announce_node()
    assert await modes_told(store) == (told, told[0])
    await new.cluster.publish_node()
    assert await modes_told(store) == (after, after[0])


async def test_a_node_nobody_knows_yet_tells_of_everything_at_once(store: LocalStore) -> None:
    await View(store, NODE1).cluster.announce_node()
    assert await modes_told(store) == (("direct",), "direct")


async def modes_told(store: LocalStore) -> tuple[tuple[str, ...], str]:
    entry = await store.get("nodes/node1")
    assert entry is not None
    node = decode_node(entry.value, "it")
    return node.modes, node.mode
