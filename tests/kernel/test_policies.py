"""Policies of one node: what comes by the store or from its own endpoints, and when it is in the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from netloom.agent.policies import Policies, Requests, key_of
from netloom.agent.policy_tables import PolicyTables
from netloom.bpf.maps import MapSet
from netloom.config.load import NoSection
from netloom.config.settings import PolicySettings
from netloom.datapath.enforcement import POLICY_MAPS, SUBJECTS, Isolation, SubjectInfo, SubjectKey
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.errors import Exhausted, Invalid, NotFound, Unavailable
from netloom.model.identity import IdentityId
from netloom.model.labels import label_set
from netloom.model.node import RemoteAddress
from netloom.model.policy import Policy, Protocol
from netloom.model.ports import NamedPort
from netloom.model.visibility import Visibility
from netloom.plugins.contract import Entry, StoreEvent
from netloom.plugins.protocols import L7Protocol
from netloom.policy.read import decode_policy, read_policies
from netloom_local.store import LocalStore
from support.stores import opened

WEB = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromEndpoints: [{matchLabels: {app: client}}], toPorts: [{ports: [{port: http, protocol: TCP}]}]}]
"""
ISOLATED = SubjectInfo(ingress=Isolation.ENFORCED, egress=0, flags=1)
FREE = SubjectInfo(ingress=0, egress=0, flags=0)
WEB_ID, CLIENT_ID, OTHER_ID = IdentityId(300), IdentityId(301), IdentityId(302)


def endpoint(name: str, identity: IdentityId, *ports: NamedPort) -> Endpoint:
    return Endpoint(
        id=EndpointId(1),
        attachment=Attachment(container_id=name, ifname="eth0", netns=""),
        ipv4=IPv4Address("10.0.0.2"),
        ipv6=None,
        ifindex=IfIndex(9),
        mac=bytes(6),
        node_mac=bytes(6),
        identity=identity,
        labels=label_set([f"app={name}", "io.kubernetes.pod.namespace=shop"]),
        state=EndpointState.READY,
        ports=ports,
    )


POD = endpoint("web", WEB_ID)


def policy(text: str = WEB) -> Policy:
    (found,) = read_policies(text, "p.yaml").policies
    return found


def event(found: Policy) -> StoreEvent:
    key = key_of(found.name)
    return StoreEvent(key, Entry(key=key, value=found.document.encode(), revision=1))


@pytest.fixture
def maps() -> Iterator[MapSet]:
    with MapSet.ephemeral([replace(spec, max_entries=16) for spec in POLICY_MAPS]) as made:
        yield made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    async with opened(tmp_path / "store.db", 0.05) as local:
        yield local


class Node:
    """One agent's policies."""

    def __init__(
        self, store: LocalStore, maps: MapSet, settings: PolicySettings, protocols: Iterable[L7Protocol] = ()
    ) -> None:
        self.epochs = 0
        self.maps = maps
        self.tables = PolicyTables(maps, 64)
        self.tables.restore()
        self.policies = Policies(store, self.tables, settings, self._bump, Requests(protocols=tuple(protocols)))

    def _bump(self) -> None:
        self.epochs += 1

    def subject(self, identity: int) -> SubjectInfo | None:
        return self.maps.of(SUBJECTS).get(SubjectKey(identity))


@pytest.fixture
def node(store: LocalStore, maps: MapSet) -> Iterator[Node]:
    made = Node(store, maps, PolicySettings())
    made.policies.open()
    yield made
    made.tables.close()


async def test_an_endpoint_has_its_policies_before_it_may_send(node: Node) -> None:
    await node.policies.put([policy()])
    node.policies.use(POD)
    assert node.subject(WEB_ID) == ISOLATED


async def test_what_is_put_is_in_the_store_and_in_the_kernel(node: Node, store: LocalStore) -> None:
    node.policies.use(POD)
    assert node.subject(WEB_ID) == FREE
    revision = await node.policies.put([policy()])
    assert node.subject(WEB_ID) == ISOLATED
    assert await store.get("policies/CiliumNetworkPolicy/shop/web") is not None
    assert node.policies.written == revision


async def test_what_is_deleted_ends_at_once(node: Node, store: LocalStore) -> None:
    node.policies.use(POD)
    await node.policies.put([policy()])
    await node.policies.delete([policy().name])
    assert node.subject(WEB_ID) == FREE
    assert await store.items("policies/") == ()


async def test_nothing_is_deleted_when_one_name_is_not_known(node: Node) -> None:
    await node.policies.put([policy()])
    other = replace(policy().name, name="other")
    with pytest.raises(NotFound, match="CiliumNetworkPolicy/shop/other"):
        await node.policies.delete([policy().name, other])
    assert node.policies.policy(policy().name) is not None


async def test_programs_ask_again_only_when_something_changed(node: Node) -> None:
    node.policies.use(POD)
    before = node.epochs
    await node.policies.put([policy()])
    await node.policies.put([policy()])
    assert node.epochs == before + 1


async def test_requests_are_seen_while_an_endpoint_wants_them_seen_in_protocols_that_are_spoken(
    store: LocalStore, maps: MapSet
) -> None:
    http = L7Protocol(name="http", rule_type=NoSection, matcher=_unused, describe=_unused, new_parser=_unused)
    node = Node(store, maps, PolicySettings(), (http,))
    node.policies.open()
    wanted = (Visibility("ingress", 80, "http"), Visibility("ingress", 81, "gopher"))
    node.policies.use(replace(POD, visibility=wanted))
    assert node.policies.repository.visible == {WEB_ID: frozenset(wanted[:1])}
    node.policies.leave(POD)
    assert node.policies.repository.visible == {}
    node.tables.close()


def _unused(value: object) -> Any:
    raise NotImplementedError(value)


async def test_another_node_hears_of_it_by_the_store(node: Node) -> None:
    node.policies.use(POD)
    node.policies.take([event(policy())], first=False)
    node.policies.apply()
    assert node.subject(WEB_ID) == ISOLATED
    node.policies.take([StoreEvent(key_of(policy().name), None)], first=False)
    node.policies.apply()
    assert node.subject(WEB_ID) == FREE


async def test_what_this_agent_has_put_is_not_read_again_when_the_store_tells_of_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading is most of what an import costs; a change under the same name is read."""
    read: list[str] = []

    def decode(document: str) -> Policy:
        read.append(document)
        return decode_policy(document)

    monkeypatch.setattr("netloom.agent.policies.decode_policy", decode)
    await node.policies.put([policy()])
    node.policies.take([event(policy())], first=False)
    assert read == []
    node.policies.take([event(policy(WEB.replace("client", "other")))], first=False)
    assert len(read) == 1


async def test_what_is_missing_in_a_new_view_is_gone(node: Node) -> None:
    """As after the store was away."""
    node.policies.use(POD)
    node.policies.take([event(policy())], first=True)
    node.policies.take([], first=True)
    node.policies.apply()
    assert node.subject(WEB_ID) == FREE


async def test_a_damaged_record_leaves_what_stood_there(node: Node) -> None:
    """Nobody is let in by it."""
    node.policies.use(POD)
    await node.policies.put([policy()])
    key = key_of(policy().name)
    node.policies.take([StoreEvent(key, Entry(key=key, value=b"{", revision=2))], first=False)
    node.policies.apply()
    assert node.subject(WEB_ID) == ISOLATED
    assert list(node.policies.unreadable) == [key]
    await node.policies.put([policy()])
    node.policies.take([event(policy())], first=False)
    assert node.policies.unreadable == {}


async def test_an_agent_that_cannot_read_a_policy_changes_nothing(store: LocalStore, maps: MapSet) -> None:
    """What an earlier agent enforces goes on; without that policy, others would be written as if it did not exist."""
    made = Node(store, maps, PolicySettings())
    key = key_of(policy().name)
    made.policies.take([StoreEvent(key, Entry(key=key, value=b"\xff", revision=1))], first=True)
    with pytest.raises(Invalid, match="policies/CiliumNetworkPolicy/shop/web"):
        made.policies.open()
    made.policies.use(POD)
    assert node_is_empty(maps)
    made.tables.close()


def node_is_empty(maps: MapSet) -> bool:
    return maps.of(SUBJECTS).items() == {}


async def test_a_policy_under_another_name_is_no_policy(node: Node) -> None:
    """Else deleting it would leave it in force."""
    key = key_of(replace(policy().name, name="other"))
    node.policies.take([StoreEvent(key, Entry(key=key, value=policy().document.encode(), revision=1))], first=False)
    assert node.policies.repository.policies == ()
    assert "CiliumNetworkPolicy/shop/web" in node.policies.unreadable[key]


async def test_an_identity_is_a_subject_until_its_last_endpoint_has_left(node: Node) -> None:
    second = replace(POD, attachment=replace(POD.attachment, container_id="second"))
    node.policies.use(POD)
    node.policies.use(second)
    node.policies.leave(POD)
    assert node.subject(WEB_ID) == FREE
    node.policies.leave(second)
    node.policies.leave(second)
    assert node.subject(WEB_ID) is None


async def test_an_endpoint_that_changes_has_both_identities_until_it_has_changed(node: Node) -> None:
    node.policies.use(POD)
    changed = replace(POD, identity=OTHER_ID, labels=label_set(["app=other"]))
    node.policies.use(changed)
    assert None not in (node.subject(WEB_ID), node.subject(OTHER_ID))
    node.policies.leave(changed, but=OTHER_ID)
    assert (node.subject(WEB_ID), node.subject(OTHER_ID)) == (None, FREE)


async def test_a_full_map_of_subjects_is_named(node: Node) -> None:
    for number in range(16):
        node.policies.use(endpoint(f"pod{number}", IdentityId(400 + number)))
    with pytest.raises(Exhausted, match='"subjects" is full'):
        node.policies.use(POD)
    node.policies.leave(POD)
    assert node.subject(WEB_ID) is None


async def test_names_of_ports_are_those_of_its_own_endpoints_and_of_other_nodes(node: Node) -> None:
    http = NamedPort("http", Protocol.TCP, 80)
    await node.policies.put([policy()])
    node.policies.use(replace(POD, ports=(http,)))
    assert node.policies.repository.names_of(WEB_ID) == {"http": {(Protocol.TCP, 80)}}
    remote = RemoteAddress(
        address=IPv4Address("10.0.1.2"), identity=WEB_ID, node="n2", ports=(replace(http, port=8080),)
    )
    node.policies.hear_address("addresses/n2/10.0.1.2", remote)
    assert node.policies.repository.names_of(WEB_ID) == {"http": {(Protocol.TCP, 80), (Protocol.TCP, 8080)}}
    node.policies.hear_address("addresses/n2/10.0.1.2", None)
    node.policies.leave(POD)
    assert node.policies.repository.names_of(WEB_ID) == {}


async def test_waiting_ends_when_the_revision_is_enforced(node: Node) -> None:
    waiting = asyncio.create_task(node.policies.wait(node.policies.revision + 1, 5.0))
    await asyncio.sleep(0)
    revision = await node.policies.put([policy()])
    assert await waiting == revision


async def test_waiting_for_what_does_not_come_ends_with_a_sentence(node: Node) -> None:
    with pytest.raises(Unavailable, match=r"revision 99 is not enforced after 0\.01 s: this node is at 0"):
        await node.policies.wait(99, 0.01)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (PolicySettings(enforcement="never"), FREE),
        (PolicySettings(audit=True), SubjectInfo(ingress=Isolation.AUDITED, egress=0, flags=1)),
        (PolicySettings(allow_host=False), SubjectInfo(ingress=Isolation.ENFORCED, egress=0, flags=0)),
        (PolicySettings(enforcement="always"), SubjectInfo(Isolation.ENFORCED, Isolation.ENFORCED, 1)),
    ],
    ids=str,
)
async def test_settings_say_how_policies_are_enforced(
    store: LocalStore, maps: MapSet, settings: PolicySettings, expected: SubjectInfo
) -> None:
    made = Node(store, maps, settings)
    made.policies.open()
    await made.policies.put([policy()])
    made.policies.use(POD)
    assert made.subject(WEB_ID) == expected
    made.tables.close()
