"""Policies of the cluster as this node enforces them: from the store to the repository, and from there to the kernel.

Every agent follows ``policies/<kind>/<namespace>/<name>`` in the store, each with the policy as canonical JSON. What an
agent enforces follows from what stands there, from the identities in the store, and from those of its own endpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from netloom.agent.identities import IDENTITIES, labels_of, number_of
from netloom.agent.policy_tables import PolicyTables
from netloom.agent.repairs import Repair
from netloom.config.settings import PolicySettings
from netloom.model.endpoint import Endpoint
from netloom.model.errors import ConfigError, Invalid, NotFound, Unavailable
from netloom.model.identity import IdentityId
from netloom.model.l7 import L7Table
from netloom.model.labels import Labels
from netloom.model.node import RemoteAddress
from netloom.model.policy import Policy, PolicyName
from netloom.model.ports import NamedPort
from netloom.model.visibility import Visibility
from netloom.plugins.batches import BatchStore
from netloom.plugins.contract import StoreEvent
from netloom.plugins.protocols import L7Protocol
from netloom.policy.l7_tables import L7Tables
from netloom.policy.port_names import PortNames
from netloom.policy.read import decode_policy
from netloom.policy.repository import Repository, Update
from netloom.policy.requests import checks_of
from netloom.policy.table import PolicyTable
from netloom.policy.visible import Visible

POLICIES = "policies/"
CLUSTERWIDE = "-"
"""In keys, in the place of a namespace; no namespace has that name."""


def key_of(name: PolicyName) -> str:
    """Where a policy stands in the store."""
    return f"{POLICIES}{name.kind}/{name.namespace or CLUSTERWIDE}/{name.name}"


def _decoded(key: str, value: bytes) -> Policy:
    """Raises ConfigError or Invalid."""
    try:
        policy = decode_policy(value.decode())
    except UnicodeDecodeError as error:
        raise Invalid(str(error)) from error
    if key_of(policy.name) != key:
        raise Invalid(f"it is {policy.name}")
    return policy


def _tell_nobody(change: Mapping[int, L7Table | None]) -> None:
    del change


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """How requests are judged on this node."""

    protocols: tuple[L7Protocol, ...] = ()
    """Those that policies imported here may name."""
    tell: Callable[[Mapping[int, L7Table | None]], None] = _tell_nobody
    """Called with changed tables, by subject; None: it has none any more. It does not wait."""


class Policies:
    """What stands, and what of it is written. Changes are made from the event loop, one at a time, and do not wait."""

    def __init__(
        self,
        store: BatchStore,
        tables: PolicyTables,
        settings: PolicySettings,
        bump_epoch: Callable[[], None],
        requests: Requests | None = None,
    ) -> None:
        """``bump_epoch``: called when programs must ask again about connections they have allowed.

        ``requests``: who judges what is asked; nobody without.
        """
        requests = requests or Requests()
        self.parsers: Final = {protocol.name: protocol for protocol in requests.protocols}
        self._tell_proxy = requests.tell
        self.protocols: Final = checks_of(self.parsers.values())
        self._store = store
        self._tables = tables
        self._settings = settings
        self._bump_epoch = bump_epoch
        self.repository = Repository(
            allow_host=settings.allow_host,
            isolate_all=settings.enforcement == "always",
            prefixes=tables.prefixes,
        )
        self._requests = L7Tables(self.repository)
        self._untold: dict[int, L7Table | None] = {}
        """What the proxy is to hear when the kernel has what it was told of."""
        self._names: dict[str, PolicyName] = {}
        self._unreadable: dict[str, str] = {}
        self._users: dict[IdentityId, set[str]] = {}
        self._ports = PortNames()
        self._visible = Visible()
        self._waiting: Update | None = None
        self._written = 0
        self._changed = asyncio.Event()
        self._open = False
        self._log = structlog.get_logger()

    # --- what others ask --------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Counts changes of policies that this agent has heard of."""
        return self.repository.revision

    @property
    def written(self) -> int:
        """The revision that programs enforce."""
        return self._written

    @property
    def closed(self) -> Mapping[int, str]:
        """Subjects whose policies could not be written, with the reason: nothing new passes from or to them."""
        return dict(self._tables.closed)

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Keys of records in the store that hold no policy that can be read, with the reason."""
        return dict(self._unreadable)

    @property
    def settings(self) -> PolicySettings:
        """How this node enforces them."""
        return self._settings

    def usage(self) -> Mapping[int, int]:
        """Entries in each subject's table."""
        return self._tables.usage()

    @property
    def room(self) -> int:
        """Entries that a subject's table can have."""
        return self._tables.room

    @property
    def judged(self) -> Mapping[IdentityId, L7Table]:
        """What the proxy is told of requests, by subject."""
        return self._requests.tables

    def policy(self, name: PolicyName) -> Policy:
        """One policy. Raises NotFound."""
        found = self.repository.policy(name)
        if found is None:
            raise NotFound(f"policy {name} does not exist; see `netctl policy list`")
        return found

    async def put(self, policies: Sequence[Policy]) -> int:
        """Give policies to the whole cluster, each in place of the one of its name; returns the revision.

        They are in the store, and enforced on this node, when this returns. Raises StoreError, after which a store
        without batches may hold some and not others: the same call again makes it whole.
        """
        await self._store.put_all({key_of(policy.name): policy.document.encode() for policy in policies})
        self._take_policies({key_of(policy.name): policy for policy in policies})
        self.apply()
        return self.revision

    async def delete(self, names: Sequence[PolicyName]) -> int:
        """Take policies from the whole cluster; returns the revision.

        Raises NotFound before anything is done, or StoreError.
        """
        for name in names:
            self.policy(name)
        for name in names:
            await self._store.delete(key_of(name))
        self._take_policies({key_of(name): None for name in names})
        self.apply()
        return self.revision

    async def wait(self, revision: int, within_s: float) -> int:
        """Wait until programs enforce a revision; returns the one they do. Raises Unavailable if it takes too long."""
        try:
            async with asyncio.timeout(within_s):
                while self._written < revision:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Unavailable(
                f"revision {revision} is not enforced after {within_s:g} s: this node is at {self._written}, and has "
                f"heard of {self.revision}"
            ) from None
        return self._written

    # --- what the store says ----------------------------------------------------------------

    def take(self, events: Iterable[StoreEvent], *, first: bool) -> None:
        """Take up a batch of the store's events; with ``first``, what is not in the batch is gone. Writes nothing."""
        found = {event.key: event.entry.value if event.entry else None for event in events}
        policies = {key: value for key, value in found.items() if key.startswith(POLICIES)}
        if first:
            policies = dict.fromkeys(self._names) | policies
        self._take_identities({key: value for key, value in found.items() if key.startswith(IDENTITIES)})
        self._take_policies({key: self._read(key, value) for key, value in policies.items()})

    def _read(self, key: str, value: bytes | None) -> Policy | None:
        """What stands there, or, for a record that cannot be read, what stood there: a damaged one lets nobody in."""
        self._unreadable.pop(key, None)
        if value is None:
            return None
        name = self._names.get(key)
        known = self.repository.policy(name) if name else None
        if known is not None and known.document.encode() == value:
            return known  # what this agent has just put, as a rule
        try:
            return _decoded(key, value)
        except (ConfigError, Invalid) as error:
            self._unreadable[key] = str(error)
            self._log.error("policy.record_ignored", key=key, error=str(error))
        return known

    def _take_policies(self, policies: Mapping[str, Policy | None]) -> None:
        """Nothing happens for those that stand already."""
        wanted = {key: self.as_enforced(policy) for key, policy in policies.items() if policy is not None}
        new = {key: policy for key, policy in wanted.items() if self._is_new(policy)}
        gone = [key for key, policy in policies.items() if policy is None and key in self._names]
        if gone:
            self._wait_to_write(self.repository.remove(*(self._names.pop(key) for key in gone)))
        if new:
            self._names |= {key: policy.name for key, policy in new.items()}
            self._wait_to_write(self.repository.upsert(*new.values()))

    def _is_new(self, policy: Policy) -> bool:
        known = self.repository.policy(policy.name)
        return known != policy or known.document != policy.document

    def as_enforced(self, policy: Policy) -> Policy:
        """A policy as this node's settings have it."""
        return replace(policy, audit=True) if self._settings.audit else policy

    def _take_identities(self, found: Mapping[str, bytes | None]) -> None:
        known: dict[IdentityId, Labels] = {}
        for key, value in found.items():
            number = number_of(key.removeprefix(IDENTITIES))
            if number is None:
                continue
            try:
                if value is not None:
                    known[number] = labels_of(value)
                elif number not in self._users:
                    self._wait_to_write(self.repository.remove_identity(number))
            except Invalid as error:
                self._log.warning("store.record_ignored", key=key, error=str(error))
        if known:
            self._wait_to_write(self.repository.add_identities(known))

    # --- what this node's endpoints want ----------------------------------------------------

    def use(self, endpoint: Endpoint) -> None:
        """An endpoint of this node is going to have its identity; its policies are in place when this returns.

        Raises NetloomError when the kernel has no room for it; the endpoint uses it nevertheless, until it leaves.
        """
        owner, identity = endpoint.attachment.key, endpoint.identity
        users = self._users.setdefault(identity, set())
        if not users:
            self._wait_to_write(self.repository.add_identity(identity, endpoint.labels))
            self._wait_to_write(self.repository.add_subjects(identity))
        users.add(owner)
        self._name_ports(owner, identity, endpoint.ports)
        self._make_visible(owner, identity, endpoint.visibility)
        self.apply()

    def leave(self, endpoint: Endpoint, *, but: IdentityId | None = None) -> None:
        """An endpoint has none of its identities any more, but for one; no error when it had none."""
        owner = endpoint.attachment.key
        left = [identity for identity, users in self._users.items() if owner in users and identity != but]
        for identity in left:
            self._users[identity].discard(owner)
            if not self._users[identity]:
                del self._users[identity]
                self._wait_to_write(self.repository.remove_subjects(identity))
        if but is None:
            self._name_ports(owner, endpoint.identity, ())
            self._make_visible(owner, endpoint.identity, ())
        self.apply()

    def hear_address(self, key: str, remote: RemoteAddress | None) -> None:
        """Take up the named ports of an endpoint of another node. Writes nothing."""
        identity = self._ports.owner(key) if remote is None else IdentityId(remote.identity)
        if identity is not None:
            self._name_ports(key, identity, remote.ports if remote else ())

    def _name_ports(self, owner: str, identity: IdentityId, ports: tuple[NamedPort, ...]) -> None:
        for changed in self._ports.put(owner, identity, ports):
            self._wait_to_write(self.repository.set_named_ports(changed, self._ports.of(changed)))

    def _make_visible(self, owner: str, identity: IdentityId, asked: tuple[Visibility, ...]) -> None:
        """A protocol that nobody speaks is left out: the proxy would close its port, and wishes to see deny nothing."""
        spoken = tuple(one for one in asked if one.protocol in self.parsers)
        for one in set(asked) - set(spoken):
            self._log.warning("visibility.protocol_unknown", endpoint=owner, asked=str(one), known=sorted(self.parsers))
        for changed in self._visible.put(owner, identity, spoken):
            self._wait_to_write(self.repository.set_visible(changed, self._visible.of(changed)))

    # --- the kernel -------------------------------------------------------------------------

    def open(self) -> None:
        """From now on changes are written; call with the first complete view of the cluster.

        Raises Invalid when a policy cannot be read: without it others would be written as if it did not exist.
        """
        for key, error in self._unreadable.items():
            raise Invalid(
                f'record "{key}" of the store holds a policy that cannot be read ({error}): nothing is changed before '
                "it is imported again or deleted by the agent of another node"
            )
        self._open = True
        self._tables.keep_only(self._users)
        tables = self.repository.tables
        self._waiting = Update(self.revision, tables, asking=frozenset(tables))
        self.apply()

    def apply(self) -> None:
        """Write what waits. Raises NetloomError when subjects or prefixes cannot be written; they are tried again."""
        waiting = self._waiting
        if not self._open or waiting is None:
            return
        # What programs send to the proxy it knows, at every moment: of what is new it hears before, of what goes after.
        change = self._requests.renew(waiting)
        self._tell_proxy(change.before)
        self._untold |= change.after
        if self._write(waiting.tables, waiting.gone):
            self._bump_epoch()
        self._tell_proxy(self._untold)
        self._untold.clear()
        self._waiting = None
        self._written = self.revision
        self._changed.set()

    async def write(self) -> None:
        """As :meth:`apply`."""
        self.apply()

    def check(self) -> list[Repair]:
        """Compare with the kernel, and try again what did not fit. Raises NetloomError."""
        if not self._open:
            return []
        self.apply()
        repairs = self._tables.check()
        if self._tables.retry() or repairs:
            self._bump_epoch()
        return repairs

    def _write(self, tables: Mapping[IdentityId, PolicyTable], gone: Iterable[IdentityId]) -> bool:
        if self._settings.enforcement == "never":
            return self._tables.write(dict.fromkeys(tables, PolicyTable()), gone, {})
        return self._tables.write(tables, gone, self.repository.prefixes())

    def close(self) -> None:
        """Let go of the tables; programs go on with them."""
        self._tables.close()

    def _wait_to_write(self, update: Update) -> None:
        """What comes later counts."""
        before = self._waiting or Update(0, {})
        tables = {number: table for number, table in before.tables.items() if number not in update.gone}
        self._waiting = Update(
            update.revision,
            {**tables, **update.tables},
            (before.gone | update.gone) - update.tables.keys(),
            (before.asking | update.asking) - update.gone,
        )
