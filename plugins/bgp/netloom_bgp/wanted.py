"""What gobgpd is to be told, from the settings. Pure: messages, and marks by which a running one is compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.paths import FAMILIES
from netloom_bgp.settings import BgpSettings, ImportFilter, Peer, PrefixMatch

MARK: Final = "netloom-"
"""Begins the names of everything that this plugin defines in gobgpd."""
DEFERRAL_S: Final = 1
"""Seconds for which a restarted gobgpd waits for what others tell before it tells them. It tells this node's prefixes
alone, which depend on nobody."""
_ALL_PEERS: Final = pb.MatchSet(type=pb.MatchSet.ANY, name="peers")
_ACTIONS: Final = {"accept": pb.ACCEPT, "reject": pb.REJECT}


def global_config(settings: BgpSettings, router_id: IPv4Address) -> pb.Global:
    """Who the node is."""
    return pb.Global(
        asn=settings.local_as or 0,
        router_id=str(router_id),
        listen_port=settings.listen_port or -1,
        use_multiple_paths=True,
    )


def same_identity(wanted: pb.Global, found: pb.Global) -> bool:
    """Whether gobgpd runs as the node that is wanted; how it runs otherwise is for whoever runs it to say."""
    return wanted.asn == found.asn and wanted.router_id == found.router_id


def is_marked(peer: pb.Peer) -> bool:
    """Whether this plugin added the peer."""
    return peer.conf.description.startswith(MARK)


def same_global(wanted: pb.Global, found: pb.Global) -> bool:
    """Whether gobgpd runs as wanted."""
    return all(
        getattr(wanted, name) == getattr(found, name)
        for name in ("asn", "router_id", "listen_port", "use_multiple_paths")
    )


def peer_config(peer: Peer, settings: BgpSettings, password: str, *, restarting: bool) -> pb.Peer:
    """A peer; its description is a mark of all that follows from the settings.

    ``restarting``: this node's routes stood while gobgpd was away, so the peer may keep those it has of us.
    """
    external, graceful = peer.remote_as != settings.local_as, settings.graceful_restart
    found = pb.Peer(
        conf=pb.PeerConf(
            neighbor_address=str(peer.address),
            peer_asn=peer.remote_as,
            local_asn=settings.local_as or 0,
            auth_password=password,
        ),
        timers=pb.Timers(
            config=pb.TimersConfig(
                connect_retry=peer.connect_retry_s,
                hold_time=peer.hold_time_s,
                keepalive_interval=peer.all_keepalive_s,
            )
        ),
        transport=pb.Transport(
            local_address=str(peer.local_address or ""), remote_port=peer.port, passive_mode=peer.passive
        ),
        afi_safis=[_family(name, peer, graceful=graceful.enabled) for name in peer.all_families],
    )
    if external and peer.multihop_ttl is not None:
        found.ebgp_multihop.CopyFrom(pb.EbgpMultihop(enabled=True, multihop_ttl=peer.multihop_ttl))
    if graceful.enabled:
        found.graceful_restart.CopyFrom(
            pb.GracefulRestart(enabled=True, restart_time=graceful.restart_time_s, deferral_time=DEFERRAL_S)
        )
    found.conf.description = MARK + _fingerprint(found.SerializeToString(deterministic=True))
    found.graceful_restart.local_restarting = restarting and graceful.enabled
    return found


def _family(name: str, peer: Peer, *, graceful: bool) -> pb.AfiSafi:
    family = FAMILIES[name]
    found = pb.AfiSafi(
        config=pb.AfiSafiConfig(family=family, enabled=True),
        mp_graceful_restart=pb.MpGracefulRestart(config=pb.MpGracefulRestartConfig(enabled=graceful)),
    )
    if peer.max_prefixes is not None:
        found.prefix_limits.CopyFrom(pb.PrefixLimit(family=family, max_prefixes=peer.max_prefixes))
    return found


class Policies:
    """A policy of one direction, with the sets it names. Its name holds a mark of what it says.

    It decides for this plugin's peers alone, and about everything: what it does not know is left to whoever else has
    policies in a gobgpd that is shared.
    """

    def __init__(self, direction: pb.PolicyDirection, statements: Sequence[pb.Statement]) -> None:
        self.sets: list[pb.DefinedSet] = []
        self._direction = direction
        self.policy = pb.Policy(statements=statements)

    def named(self, sets: Sequence[pb.DefinedSet]) -> Policies:
        """The same, with names for itself, its statements, and these sets that they refer to by number."""
        raw = [one.SerializeToString(deterministic=True) for one in (*sets, self.policy)]
        prefix = f"{MARK}{'in' if self._direction == pb.IMPORT else 'out'}-{_fingerprint(*raw)}"
        self.policy.name = prefix
        for one in sets:
            one.name = f"{prefix}-{one.name}"
        for number, statement in enumerate(self.policy.statements):
            statement.name = f"{prefix}-{number}"
            for match in ("prefix_set", "community_set", "neighbor_set"):
                if statement.conditions.HasField(match):
                    getattr(statement.conditions, match).name = f"{prefix}-{getattr(statement.conditions, match).name}"
        self.sets = list(sets)
        return self

    def assignment(self, others: Sequence[str] = ()) -> pb.PolicyAssignment:
        """It, and behind it the policies of others; what becomes of a route that none decides stays as it is."""
        policies = [pb.Policy(name=name) for name in (self.policy.name, *others)]
        return pb.PolicyAssignment(name="global", direction=self._direction, policies=policies)


def import_policies(settings: BgpSettings) -> Policies:
    """The import filters, judged before the best of several routes is chosen."""
    sets = [_peers(settings)]
    statements: list[pb.Statement] = []
    for number, one in enumerate(settings.imports.filters):
        statements += _statements(number, one, sets)
    statements.append(pb.Statement(actions=pb.Actions(route_action=_ACTIONS[settings.imports.otherwise])))
    for statement in statements:
        statement.conditions.neighbor_set.CopyFrom(_ALL_PEERS)
    return Policies(pb.IMPORT, statements).named(sets)


def export_policies(settings: BgpSettings) -> Policies:
    """Only this node's own prefixes go out: it is nobody's way to anywhere else. With the next hops of the settings."""
    sets = [_peers(settings)]
    statements = []
    for number, peer in enumerate(settings.peers):
        for hop in peer.next_hops:
            if not any(one.name == f"peer{number}" for one in sets):
                sets.append(pb.DefinedSet(defined_type=pb.NEIGHBOR, name=f"peer{number}", list=[_host(peer)]))
            one = _own_accepted()
            one.conditions.neighbor_set.CopyFrom(pb.MatchSet(type=pb.MatchSet.ANY, name=f"peer{number}"))
            one.conditions.afi_safi_in.append(FAMILIES["ipv4" if hop.version == 4 else "ipv6"])
            one.actions.nexthop.CopyFrom(pb.NexthopAction(address=str(hop)))
            statements.append(one)
    for one in (_own_accepted(), pb.Statement(actions=pb.Actions(route_action=pb.REJECT))):
        one.conditions.neighbor_set.CopyFrom(_ALL_PEERS)
        statements.append(one)
    return Policies(pb.EXPORT, statements).named(sets)


def _peers(settings: BgpSettings) -> pb.DefinedSet:
    return pb.DefinedSet(defined_type=pb.NEIGHBOR, name=_ALL_PEERS.name, list=[_host(one) for one in settings.peers])


def _host(peer: Peer) -> str:
    return f"{peer.address}/{peer.address.max_prefixlen}"


def _own_accepted() -> pb.Statement:
    return pb.Statement(
        conditions=pb.Conditions(route_type=pb.Conditions.ROUTE_TYPE_LOCAL), actions=pb.Actions(route_action=pb.ACCEPT)
    )


def _statements(number: int, one: ImportFilter, sets: list[pb.DefinedSet]) -> list[pb.Statement]:
    """One statement, or one for each IP version: GoBGP's sets of prefixes hold one alone."""
    conditions = [pb.Conditions()]
    if one.prefixes:
        conditions = []
        for version in (4, 6):
            if found := [match for match in one.prefixes if match.prefix.version == version]:
                name = f"prefixes{number}v{version}"
                sets.append(pb.DefinedSet(defined_type=pb.PREFIX, name=name, prefixes=map(_prefix, found)))
                conditions.append(pb.Conditions(prefix_set=pb.MatchSet(type=pb.MatchSet.ANY, name=name)))
    if one.communities:
        name = f"communities{number}"
        sets.append(pb.DefinedSet(defined_type=pb.COMMUNITY, name=name, list=[f"^{text}$" for text in one.communities]))
        for each in conditions:
            each.community_set.CopyFrom(pb.MatchSet(type=pb.MatchSet.ANY, name=name))
    action = pb.Actions(route_action=_ACTIONS[one.action])
    return [pb.Statement(conditions=each, actions=action) for each in conditions]


def _prefix(match: PrefixMatch) -> pb.Prefix:
    least, most = match.lengths
    return pb.Prefix(ip_prefix=str(match.prefix), mask_length_min=least, mask_length_max=most)


def _fingerprint(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
