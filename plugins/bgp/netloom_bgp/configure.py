"""A running gobgpd made to be as wanted: compared, and changed only where it differs, so that sessions go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Final

from netloom.model.address import Network
from netloom.model.errors import Invalid
from netloom_bgp import wanted
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.client import Gobgp, SpeakerRefused
from netloom_bgp.host import read_password, router_id
from netloom_bgp.paths import FAMILIES, is_own, own_path, prefix_of
from netloom_bgp.places import network_of
from netloom_bgp.policy import announced
from netloom_bgp.sessions import Session
from netloom_bgp.settings import BgpSettings, Exports

RETRY_ID: Final = IPv4Address(0)


class Configurator:
    """Tells gobgpd who the node is, which prefixes it has, and whom to speak with."""

    def __init__(self, settings: BgpSettings, *, shared: bool) -> None:
        """``shared``: somebody else runs gobgpd, and may have peers and policies of its own there."""
        self._settings = settings
        self._shared = shared
        self._router_id = settings.router_id
        self._own: dict[Network, pb.Path] | None = None
        """What this gobgpd announces for the node; None until it was asked. It is asked once: its table may be long."""
        self.restarting = False
        """Whether routes stood while gobgpd was away; peers hear it when they are added."""

    @property
    def router_id(self) -> str:
        """As told to gobgpd; "" before."""
        return str(self._router_id or "")

    async def identify(self, gobgp: Gobgp) -> bool:
        """Tell it who the node is; whether it was new, and knows nothing else.

        Raises Invalid without an address, and for a shared one that runs as another node.
        """
        self._own = None
        found = await gobgp.running()
        if self._router_id is None:
            running = IPv4Address(found.router_id) if found.asn else RETRY_ID
            self._router_id = running if running != RETRY_ID else router_id(p.address for p in self._settings.peers)
        config = wanted.global_config(self._settings, self._router_id)
        if found.asn and wanted.same_global(config, found):
            return False
        if found.asn and self._shared:
            if wanted.same_identity(config, found):
                return False
            raise Invalid(
                f"the gobgpd of plugins.bgp.speaker.socket runs as AS {found.asn} with router id {found.router_id}, "
                f"expected AS {config.asn} with router id {config.router_id}; it is not stopped, since it is somebody "
                "else's: set plugins.bgp.local_as and router_id to what it has, or start it anew"
            )
        if found.asn:
            await gobgp.stop()
        await gobgp.start(config)
        return True

    async def set_policies(self, gobgp: Gobgp) -> bool:
        """Have the filters judge; whether they differ from those that judged before."""
        changed = False
        for policies in (wanted.import_policies(self._settings), wanted.export_policies(self._settings)):
            before = await gobgp.policies(policies.assignment().direction)
            names = [one.name for assignment in before for one in assignment.policies]
            ours = [name for name in names if name.startswith(wanted.MARK)]
            if ours == [policies.policy.name]:
                continue
            changed = True
            for one in policies.sets:
                await gobgp.add_set(one)
            await gobgp.add_policy(policies.policy)
            await gobgp.assign_policy(policies.assignment([name for name in names if name not in ours]))
            for name in ours:
                with contextlib.suppress(SpeakerRefused):
                    await gobgp.delete_policy(pb.Policy(name=name))
        return changed

    async def set_paths(self, gobgp: Gobgp, prefixes: Iterable[Network]) -> None:
        """Announce exactly these prefixes of this node, as far as the export filters let them."""
        exports = self._settings.exports
        paths = {prefix: own_path(prefix, exports) for prefix in prefixes if announced(exports, prefix)}
        found, self._own = self._own if self._own is not None else await _own_paths(gobgp), None
        changes = [path for prefix, path in paths.items() if not _same_path(path, found.get(prefix))]
        changes += [own_path(prefix, exports, withdraw=True) for prefix in found if prefix not in paths]
        await gobgp.add_paths(changes)
        self._own = paths

    async def set_peers(self, gobgp: Gobgp, sessions: Iterable[Session], *, again: bool) -> None:
        """Speak with exactly these; ``again``: judge anew what those told that stay. Peers of others are left alone."""
        found = {peer.conf.neighbor_address: peer for peer in await gobgp.peers()}
        others = {address for address, peer in found.items() if self._shared and not wanted.is_marked(peer)}
        found = {address: peer for address, peer in found.items() if address not in others}
        peers: dict[str, pb.Peer] = {}
        for session in sessions:
            session.foreign = str(session.peer.address) in others
            if (config := self._peer(session)) is not None and not session.away:
                peers[config.conf.neighbor_address] = config
        for address, peer in found.items():
            if address not in peers or peers[address].conf.description != peer.conf.description:
                await gobgp.delete_peer(address)
            elif again:
                await gobgp.reconsider(address)
        for address, config in peers.items():
            if address not in found or found[address].conf.description != config.conf.description:
                await gobgp.add_peer(config)

    async def renew_peer(self, gobgp: Gobgp, session: Session) -> None:
        """Begin with a peer anew: it may connect at once, which one that was disabled may not for seconds."""
        if session.foreign:
            return
        with contextlib.suppress(SpeakerRefused):
            await gobgp.delete_peer(str(session.peer.address))
        if (config := self._peer(session)) is not None:
            await gobgp.add_peer(config)

    def _peer(self, session: Session) -> pb.Peer | None:
        """None when its password cannot be read, or somebody else speaks with it; the session says so then."""
        path, session.refused, password = session.peer.password_file, "", ""
        try:
            password = read_password(path) if path is not None else ""
        except Invalid as error:
            session.refused = str(error)
        if session.foreign:
            session.refused = "somebody else has configured this peer in the gobgpd of plugins.bgp.speaker.socket"
        if session.refused:
            session.fail(session.refused)
            return None
        return wanted.peer_config(session.peer, self._settings, password, restarting=self.restarting)


async def take_back(gobgp: Gobgp) -> None:
    """Leave a gobgpd as if it had never been configured by this plugin: what others have there stays."""
    for peer in await gobgp.peers():
        if wanted.is_marked(peer):
            await gobgp.delete_peer(peer.conf.neighbor_address)
    for direction in (pb.IMPORT, pb.EXPORT):
        names = [one.name for assignment in await gobgp.policies(direction) for one in assignment.policies]
        ours = [name for name in names if name.startswith(wanted.MARK)]
        if ours:
            others = [pb.Policy(name=name) for name in names if name not in ours]
            assigned = pb.PolicyAssignment(name="global", direction=direction, policies=others)
            await gobgp.assign_policy(assigned)
        for name in ours:
            await gobgp.delete_policy(pb.Policy(name=name))
    paths = await _own_paths(gobgp)
    await gobgp.add_paths(own_path(prefix, Exports(), withdraw=True) for prefix in paths)


async def _own_paths(gobgp: Gobgp) -> dict[Network, pb.Path]:
    found: dict[Network, pb.Path] = {}
    for family in FAMILIES.values():
        async for some in gobgp.paths(pb.GLOBAL, family):
            own = (path for destination in some for path in destination.paths if is_own(path))
            found |= {network_of(prefix_of(path)): path for path in own}
    return found


def _same_path(path: pb.Path, found: pb.Path | None) -> bool:
    """Whether GoBGP has it as wanted; it may write attributes in another order, and adds an empty AS path."""
    return found is not None and _attributes(path) == _attributes(found)


def _attributes(path: pb.Path) -> set[tuple[str, bytes]]:
    return {(one.type_url, one.value) for one in path.pattrs if not one.type_url.endswith(".AsPathAttribute")}
