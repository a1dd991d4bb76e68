"""The cluster as this node sees it: other nodes and their addresses, from the store into the tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog

from netloom.agent.identities import IDENTITIES, Identities, labels_of, number_of
from netloom.agent.records import decode_address, decode_node, encode_address, encode_node
from netloom.agent.residents import Resident, Residents
from netloom.agent.tables import Tables
from netloom.model.address import Address, Network
from netloom.model.errors import Conflict, Invalid, StoreError
from netloom.model.node import Node, RemoteAddress
from netloom.model.ports import NamedPort
from netloom.plan.claims import nowhere, remote_address_claims, remote_node_claims
from netloom.plugins.contract import NodeChanged, Reach, Store, StoreEvent
from netloom.plugins.fallback import Modes

NODES = "nodes/"
ADDRESSES = "addresses/"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNode:
    """Another node, and whether this one can reach it."""

    node: Node
    reach: Reach
    error: str
    """Why it cannot be reached; "" when it can."""
    mode: str = ""
    """Name of the network mode that reaches it."""
    passed_over: tuple[str, ...] = ()
    """Why the modes that are preferred to that one do not."""

    @property
    def unmasqueraded(self) -> tuple[Network, ...]:
        """To which pods go with their own addresses: they are sent there as they are, or in a tunnel."""
        return tuple(dict.fromkeys((*self.node.pod_cidrs, *sorted(self.reach.native, key=str))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What the cluster needs to know of this node."""

    node: Node
    mode: Modes
    mtu_bytes: int


AddressListener = Callable[[str, RemoteAddress | None], None]


def _nobody(key: str, remote: RemoteAddress | None) -> None:
    del key, remote


class Cluster:
    """Follows the store, and publishes this node and its endpoints."""

    def __init__(
        self, store: Store, local: Local, tables: Tables, identities: Identities, hear: AddressListener = _nobody
    ) -> None:
        """``hear``: told of every endpoint address of other nodes, by key in the store; None when it is gone."""
        self._store = store
        self._hear = hear
        self._local = local
        self._tables = tables
        self._identities = identities
        self._nodes: dict[str, KnownNode] = {}
        self._addresses: dict[str, RemoteAddress] = {}
        self._seen: set[str] = set()
        self._only: tuple[str, ...] = ()
        """Modes that may be used; empty: all of them."""
        self._published: dict[str, bytes] = {}
        self.residents = Residents()
        """Pods of other nodes."""
        self.in_sync = asyncio.Event()
        self.robbed = False
        """Whether the store lost something of this node since the last :meth:`republish`."""
        self._log = structlog.get_logger()

    def nodes(self) -> Mapping[str, KnownNode]:
        """The other nodes, by name."""
        return dict(self._nodes)

    @property
    def unmasqueraded(self) -> tuple[Network, ...]:
        """Prefixes besides this node's to which pods go with their own addresses."""
        others = (prefix for known in self._nodes.values() for prefix in known.unmasqueraded)
        return (*self._local.mode.native_cidrs, *others)

    def addresses(self) -> Iterable[RemoteAddress]:
        """Every endpoint address of other nodes."""
        return tuple(self._addresses.values())

    async def refuse_overlap(self) -> None:
        """Raises Conflict when a pod prefix of this node is another's already, StoreError when that cannot be known."""
        for entry in await self._store.items(NODES):
            try:
                other = decode_node(entry.value, f'node record "{entry.key}"')
            except Invalid as error:
                self._log.warning("store.record_ignored", key=entry.key, error=str(error))
                continue
            if other.name != self._local.node.name:
                _refuse_overlap(self._local.node, other)

    async def announce_node(self) -> None:
        """Tell the others of this node before its programs are at work.

        The node is taking the packets of an earlier run's network modes, and will take those of this run's: until then
        it names those that are both, so that nobody sends what nobody takes. It sends by no others either: the earlier
        run's programs know nothing of them.
        """
        key, own = NODES + self._local.node.name, self._local.node
        try:
            entry = await self._store.get(key)
            before = decode_node(entry.value, f'node record "{key}"') if entry else own
        except (StoreError, Invalid) as error:
            self._log.warning("store.own_record_unknown", key=key, error=str(error))
            before = own
        both = tuple(mode for mode in own.modes if before.takes(mode))
        self._only = both
        told = replace(own, mode=both[0], modes=both) if both else before
        await self._publish(key, encode_node(told))

    def use_all_modes(self) -> None:
        """Claim every node anew, by whatever mode reaches it; takes effect with the tables' next apply."""
        self._only = ()
        for known in tuple(self._nodes.values()):
            self._know(known.node)

    async def publish_node(self) -> None:
        """Tell the others of this node, whose programs are at work."""
        await self._publish(NODES + self._local.node.name, encode_node(self._local.node))

    async def publish_address(
        self, address: Address, identity: int, *, pod: str = "", ports: tuple[NamedPort, ...] = ()
    ) -> None:
        """Tell the others who has an address of this node."""
        own = self._local.node.name
        remote = RemoteAddress(address=address, identity=identity, node=own, pod=pod, ports=ports)
        await self._publish(self._address_key(address), encode_address(remote))

    async def withdraw_address(self, address: Address) -> None:
        """The address has no endpoint any more."""
        key = self._address_key(address)
        self._published.pop(key, None)
        try:
            await self._store.delete(key)
        except StoreError as error:
            self._log.warning("store.write_late", key=key, error=str(error))

    async def republish(self) -> None:
        """Make the store hold what this node published, and nothing else of this node. Raises StoreError.

        Heals what was published while the store was away, a store that was replaced, and what an earlier run left.
        """
        self.robbed = False
        node_key = NODES + self._local.node.name
        found = {entry.key: entry.value for entry in await self._store.items(self._address_key(None))}
        if (entry := await self._store.get(node_key)) is not None:
            found[node_key] = entry.value
        for key, value in tuple(self._published.items()):
            if found.get(key) != value:
                await self._store.put(key, value)
        for key in found.keys() - self._published.keys():
            await self._store.delete(key)

    async def _publish(self, key: str, value: bytes) -> None:
        """Write now if the store can be reached; :meth:`republish` tries again if it cannot."""
        self._published[key] = value
        try:
            await self._store.put(key, value)
        except StoreError as error:
            self._log.warning("store.write_late", key=key, error=str(error))

    async def forget_node(self, name: str) -> bool:
        """Remove a node that is gone for good from the store; says whether it was there."""
        found = await self._store.get(NODES + name) is not None
        for entry in await self._store.items(f"{ADDRESSES}{name}/"):
            await self._store.delete(entry.key)
        await self._store.delete(NODES + name)
        return found

    def take(self, events: Iterable[StoreEvent], *, first: bool) -> tuple[NodeChanged, ...]:
        """Turn a batch of store events into claims; with ``first``, what is not in the batch is gone."""
        events = tuple(events)
        if first:
            present = {event.key for event in events if event.entry}
            events += tuple(StoreEvent(key, None) for key in sorted(self._seen - present))
        changed = [change for event in events if (change := self._take_one(event))]
        return tuple(changed)

    def _take_one(self, event: StoreEvent) -> NodeChanged | None:
        value = event.entry.value if event.entry else None
        (self._seen.discard if value is None else self._seen.add)(event.key)
        if value is None and event.key in self._published:
            self.robbed = True
        try:
            if event.key.startswith(NODES):
                return self._take_node(event.key.removeprefix(NODES), value)
            if event.key.startswith(ADDRESSES):
                self._take_address(event.key, value)
            elif event.key.startswith(IDENTITIES):
                self._take_identity(event.key.removeprefix(IDENTITIES), value)
        except Invalid as error:
            self._log.warning("store.record_ignored", key=event.key, error=str(error))
        return None

    def _take_node(self, name: str, value: bytes | None) -> NodeChanged | None:
        if name == self._local.node.name:
            return None
        if value is None:
            self._nodes.pop(name, None)
            self._tables.withdraw(f"node/{name}")
            self._reclaim_addresses(name)
            return NodeChanged(name=name, node=None)
        node = decode_node(value, f'node record "{name}"')
        return NodeChanged(name=name, node=node) if self._know(node) else None

    def _know(self, node: Node) -> bool:
        """Claim what the node wants; whether that is news."""
        known = self._reach(node)
        if self._nodes.get(node.name) == known:
            return False
        self._nodes[node.name] = known
        self._tables.claim(f"node/{node.name}", remote_node_claims(node, known.reach))
        self._reclaim_addresses(node.name)
        return True

    def _reach(self, node: Node) -> KnownNode:
        try:
            _refuse_overlap(self._local.node, node)
            way = self._local.mode.way(self._local.node, node, self._local.mtu_bytes, self._only)
        except Conflict as error:
            return self._unreachable(node, Reach(), error)
        except Invalid as error:
            return self._unreachable(node, nowhere(node), error)
        return KnownNode(node=node, reach=way.reach, error="", mode=way.mode, passed_over=way.passed_over)

    def _unreachable(self, node: Node, reach: Reach, error: Exception) -> KnownNode:
        self._log.error("node.unreachable", node=node.name, error=str(error))
        return KnownNode(node=node, reach=reach, error=str(error))

    def _take_address(self, key: str, value: bytes | None) -> None:
        if key.startswith(f"{ADDRESSES}{self._local.node.name}/"):
            return
        if value is None:
            gone = self._addresses.pop(key, None)
            self.residents.drop(key, (gone.address,) if gone else ())
            self._tables.withdraw(key)
            self._hear(key, None)
            return
        remote = decode_address(value, f'address record "{key}"')
        self._addresses[key] = remote
        self.residents.put(key, (remote.address,), Resident(remote.pod))
        self._hear(key, remote)
        self._claim_address(key, remote)

    def _claim_address(self, key: str, remote: RemoteAddress) -> None:
        known = self._nodes.get(remote.node)
        if known and any(
            remote.address in cidr for cidr in known.node.pod_cidrs if cidr.version == remote.address.version
        ):
            self._tables.claim(key, remote_address_claims(remote, known.reach))
        else:
            self._tables.withdraw(key)

    def _reclaim_addresses(self, name: str) -> None:
        prefix = f"{ADDRESSES}{name}/"
        for key, remote in self._addresses.items():
            if key.startswith(prefix):
                self._claim_address(key, remote)

    def _take_identity(self, text: str, value: bytes | None) -> None:
        number = number_of(text)
        if number is None:
            raise Invalid(f'identity number "{text[:40]}" is not a number')
        if value is None:
            self._identities.forget(number)
        else:
            self._identities.learn(number, labels_of(value))

    def _address_key(self, address: Address | None) -> str:
        """Key of one address of this node, or the prefix of all."""
        return f"{ADDRESSES}{self._local.node.name}/{address or ''}"


def _refuse_overlap(own: Node, other: Node) -> None:
    for mine in own.pod_cidrs:
        for theirs in other.pod_cidrs:
            if mine.version == theirs.version and mine.overlaps(theirs):
                raise Conflict(
                    f'pod prefix {mine} of node "{own.name}" overlaps {theirs} of node "{other.name}"; '
                    f'give one of them another prefix, or, if "{other.name}" is gone for good, '
                    f"run `netctl node forget {other.name}`"
                )
